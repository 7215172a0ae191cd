# SPDX-License-Identifier: Apache-2.0
"""The training room: teacher embeddings, student, objective, training run and ONNX export.

Needs the ``train`` extra and is never imported by the service.
"""
