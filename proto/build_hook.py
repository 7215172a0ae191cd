# SPDX-License-Identifier: Apache-2.0
"""Builds ``voiceauth/v1/*_pb2*.py`` from ``proto/``: for wheels, editable installs and by hand.

``python proto/build_hook.py`` does the same in a checkout.
"""

import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand, where hatchling need not be installed
    BuildHookInterface = object


def generate(root: Path) -> None:
    """Run protoc over every file of the contract.

    Args:
        root: the checkout.

    Raises:
        SystemExit: protoc refused a file; its own message stands above.
    """
    from grpc_tools import protoc  # noqa: PLC0415 - only there at build time

    proto = root / "proto"
    sources = sorted(str(path) for path in proto.glob("voiceauth/v1/*.proto"))
    target = root / "voiceauth" / "v1"
    target.mkdir(exist_ok=True)
    (target / "__init__.py").write_text(
        "# SPDX-License-Identifier: Apache-2.0\n"
        '"""Generated from proto/voiceauth/v1; do not edit."""\n'
    )
    beside_python = Path(sys.executable).with_name("protoc-gen-mypy")
    plugin = str(beside_python) if beside_python.exists() else shutil.which("protoc-gen-mypy")
    arguments = [
        "protoc",
        f"--plugin=protoc-gen-mypy={plugin}",
        f"-I{proto}",
        f"-I{files('grpc_tools') / '_proto'}",
        f"--python_out={root}",
        f"--grpc_python_out={root}",
        f"--mypy_out={root}",
        *sources,
    ]
    if protoc.main(arguments) != 0:
        sys.exit("protoc failed; see its message above")


class ContractHook(BuildHookInterface):  # type: ignore[misc]
    """Hatch build hook: generate before anything is packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate the contract's code, and put the models of the service into a wheel.

        Weights for further training lie one folder deeper and stay out; an editable install reads
        the checkout's models.
        """
        root = Path(self.root)
        generate(root)
        if self.target_name == "wheel" and version != "editable":
            for path in sorted((root / "models").iterdir()):
                if path.is_file():
                    build_data["force_include"][str(path)] = f"voiceauth/_models/{path.name}"


if __name__ == "__main__":
    generate(Path(__file__).resolve().parent.parent)
