"""Packaging of infraval: `pip install .`, extras, and what Beam's `--setup_file` needs."""

import re
import tempfile
from pathlib import Path

import setuptools

TENSORFLOW = "tensorflow>=2.16,<2.22"
# 1.17 cannot be resolved: its parts ask for different versions of Beam. There is no 1.18 to 1.20.
TFX = "tfx>=1.16,<1.22,!=1.17.*"
# Python 3.10 gets TFX 1.16, which needs protobuf 3.20. What is excluded here needs a later one: without the bounds, pip
# tries its way back through all of it, for more than ten minutes. To pip 23.0, a package with an extra is another
# package, which needs a bound of its own.
TFX_1_16 = [
    f'{requirement}; python_version < "3.11"'
    for requirement in (
        "apache-beam<2.75",
        "apache-beam[gcp]<2.75",
        "envoy-data-plane<0.3",
        "google-api-core<2.30",
        "google-api-core[grpc]<2.30",
        "google-cloud-aiplatform<1.166",
        "google-cloud-bigquery-storage<2.37",
        "google-cloud-bigtable<2.37",
        "google-cloud-build<3.36",
        "google-cloud-datastore<2.24",
        "google-cloud-dlp<3.35",
        "google-cloud-kms<3.12",
        "google-cloud-language<2.20",
        "google-cloud-monitoring<2.30",
        "google-cloud-pubsub<2.37",
        "google-cloud-recommendations-ai<0.11",
        "google-cloud-resource-manager<1.17",
        "google-cloud-secret-manager<2.27",
        "google-cloud-spanner<3.65",
        "google-cloud-videointelligence<2.19",
        "google-cloud-vision<3.13",
        "googleapis-common-protos<1.74",
        "googleapis-common-protos[grpc]<1.74",
        "grpc-google-iam-v1<0.14.4",
        "grpcio-status<1.49",
        "ml-metadata<1.17",
        "numpy<2",
        "proto-plus<1.28",
        "protobuf<4",
        "pyarrow<11",
        "tensorflow<2.17",
        "tensorflow-serving-api<2.17",
        "tf-keras<2.17",
        "tfx<1.17",
    )
]
KFP_1_16 = [
    f'{requirement}; python_version < "3.11"'
    for requirement in (
        "kfp<2.6",
        "kfp-pipeline-spec<0.3",
        "kfp-server-api<2.1",
        "kubernetes<27",
        "requests-toolbelt<1",
    )
]

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
    package_data={"infraval": ["py.typed", "kit/templates/*", "report/templates/*"], "infraval_server": ["py.typed"]},
    install_requires=[
        "apache-beam>=2.60,<3",
        "click>=8.1",
        "dill",  # Beam from 2.69 on pickles TFX's functions with it but does not install it
        "google-crc32c>=1.5",
        "grpcio>=1.60",
        "hdrhistogram>=0.10.7",  # 0.10.8 asks for setuptools 83, which TFX does not work with
        "jinja2>=3.1",
        "ml-dtypes>=0.3",
        "protobuf>=3.20.3",
        "psutil>=5.9",
        "pydantic>=2.7,<3",
        "rich>=13",
        TENSORFLOW,
        "tensorflow-serving-api>=2.16,<2.22",
        "tornado>=6.5,<7",
        "typing-extensions>=4",
        "xxhash>=3.4",
    ],
    extras_require={
        "tfx": [TFX, *TFX_1_16, "ml-metadata>=1.16", "setuptools<81"],  # tensorflow_hub still imports pkg_resources
        "docker": ["docker>=7"],
        "kubernetes": ["kubernetes>=12"],
        "kfp": [f"tfx[kfp]{TFX.removeprefix('tfx')}", *TFX_1_16, *KFP_1_16],
    },
    entry_points={"console_scripts": ["infraval=infraval.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
