# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Fetch the files of KaTeX that the report page embeds, from its npm package:

    python verl_prpo/viewer/report/katex/fetch.py

The version and the package's integrity hash stand below. The files are those of the package, unchanged: the script, the
style sheet, the fonts as woff2, and the licence (MIT). For a new version, change version and hash and look at the page.
"""

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from verl_prpo.settings.timeouts import DOWNLOAD_TIMEOUT

VERSION = "0.19.1"
INTEGRITY = "sha512-jG8uKntjSEcm2EpQOh0XturpPuuC9r3Sq5HLHdsFdWZT27E672SF19QEi+of0/YeOy15lDgRhKvr5614uRrEfA=="
"""The hash that `npm view katex@VERSION dist.integrity` prints."""

HERE = Path(__file__).parent
PLAIN = {
    "package/dist/katex.min.js": "katex.min.js",
    "package/dist/katex.min.css": "katex.min.css",
    "package/LICENSE": "LICENSE",
}
FONTS = "package/dist/fonts/"


def main() -> int:
    """Replace the files beside this script, and return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "pack", f"katex@{VERSION}", "--silent"], cwd=folder, check=True, timeout=DOWNLOAD_TIMEOUT
        )
        packed = (Path(folder) / f"katex-{VERSION}.tgz").read_bytes()
        found = "sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()
        if found != INTEGRITY:
            print(f"katex {VERSION} has integrity {found}, expected {INTEGRITY}. Nothing was changed", file=sys.stderr)
            return 1
        with tarfile.open(Path(folder) / f"katex-{VERSION}.tgz") as package:
            for name in package.getnames():
                font = name.startswith(FONTS) and name.endswith(".woff2")
                content = package.extractfile(name) if font or name in PLAIN else None
                if content is not None:
                    (HERE / PLAIN.get(name, Path(name).name)).write_bytes(content.read())
    return 0


if __name__ == "__main__":
    sys.exit(main())
