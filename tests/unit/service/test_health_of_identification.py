# SPDX-License-Identifier: Apache-2.0
import asyncio

import pytest
from grpc_health.v1 import health_pb2

from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.service import health
from voiceauth.service.health import IDENTIFICATION, Health, announced
from voiceauth.usecases.filling_gallery import FillingGallery


async def _said(told: Health, name: str) -> int:
    request = health_pb2.HealthCheckRequest(service=name)
    return int((await told._servicer.Check(request, None)).status)


async def test_identification_serves_once_the_gallery_is_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Meanwhile everything else serves: load balancers may send verifications."""
    monkeypatch.setattr(health, "_LOOK_SECONDS", 0.001)
    told, gallery = Health(), FillingGallery(FaissGallery(2))
    await told.serving()
    async with announced(told, gallery):
        await asyncio.sleep(0)
        before = [await _said(told, name) for name in (IDENTIFICATION, "")]
        assert gallery.settle() == []
        said = 0
        for _ in range(10_000):
            said = await _said(told, IDENTIFICATION)
            if said == health_pb2.HealthCheckResponse.SERVING:
                break
            await asyncio.sleep(0.001)

    assert said == health_pb2.HealthCheckResponse.SERVING
    assert before == [
        health_pb2.HealthCheckResponse.NOT_SERVING,
        health_pb2.HealthCheckResponse.SERVING,
    ]


async def test_a_server_stops_while_the_gallery_is_filled() -> None:
    """Waiting for the gallery does not hold the server."""
    told = Health()
    await told.serving()
    async with announced(told, FillingGallery(FaissGallery(2))):
        await asyncio.sleep(0)
