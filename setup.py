"""Packaging of infraval: `pip install .`, extras, and what Beam's `--setup_file` needs."""

import re
import tempfile
from pathlib import Path

import setuptools

TENSORFLOW = "tensorflow>=2.16,<2.22"
TFX = "tfx>=1.16,<1.22"

# Pictures and relative links need the repository: an index shows the README without those parts.
README = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
LONG_DESCRIPTION = re.sub(r"<!-- repository -->.*?<!-- /repository -->\n+", "", README, flags=re.DOTALL)

# `pip install .` would leave build/ in the clone.
BUILD = tempfile.TemporaryDirectory(prefix="infraval-build-")

setuptools.setup(
    name="tfx-infraval",
    version="0.1.0",
    description="A TFX component that proves a SavedModel loads, answers and is warm in a real model server.",
    long_description=LONG_DESCRIPTION,
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    options={"build": {"build_base": BUILD.name}},
    package_dir={"": "components"},
    packages=setuptools.find_packages("components"),
    package_data={"infraval": ["py.typed"], "infraval_server": ["py.typed"]},
    install_requires=[
        "apache-beam>=2.60,<3",
        "click>=8.1",
        "dill",  # Beam from 2.69 on pickles TFX's functions with it but does not install it
        "google-crc32c>=1.5",
        "grpcio>=1.60",
        "protobuf>=3.20.3",
        "pydantic>=2.7,<3",
        "rich>=13",
        TENSORFLOW,
        "tensorflow-serving-api>=2.16,<2.22",
        "tornado>=6.5,<7",
        "typing-extensions>=4",
        "xxhash>=3.4",
    ],
    extras_require={
        "tfx": [TFX, "ml-metadata>=1.16", "setuptools<81"],  # tensorflow_hub still imports pkg_resources
        "docker": ["docker>=7"],
        "kubernetes": ["kubernetes>=12"],
        "kfp": [f"tfx[kfp]{TFX.removeprefix('tfx')}"],
    },
    entry_points={"console_scripts": ["infraval=infraval.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.10",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
