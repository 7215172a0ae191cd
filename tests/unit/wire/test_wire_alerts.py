# SPDX-License-Identifier: Apache-2.0
import pytest
from noted import made_up_alert, somebody

from voiceauth.errors import InputError
from voiceauth.testing.fakes import EPOCH
from voiceauth.types import Acknowledgement, Alert, Assessment, Severity
from voiceauth.v1 import alerts_pb2
from voiceauth.wire.alerts import alert_from_wire, alert_to_wire, assessment_from_wire

MARK = Acknowledgement(EPOCH, somebody("analyst"), Assessment.UNCLEAR)


@pytest.mark.parametrize(
    "alert",
    [
        made_up_alert(),
        made_up_alert(acknowledged=MARK),
        *(made_up_alert(severity=one) for one in Severity),
    ],
)
def test_an_alert_comes_back_as_it_was(alert: Alert) -> None:
    """Nothing is lost on the wire."""
    message = alerts_pb2.Alert.FromString(alert_to_wire(alert).SerializeToString())

    assert alert_from_wire(message) == alert


def test_values_that_are_not_known_are_told() -> None:
    """A newer server's severity is not taken for another one."""
    message = alert_to_wire(made_up_alert())
    message.severity = alerts_pb2.ALERT_SEVERITY_UNSPECIFIED
    with pytest.raises(InputError):
        alert_from_wire(message)
    with pytest.raises(InputError):
        assessment_from_wire(0)
