"""Workers that have none of the client's files, as on other machines: all goes through an object store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from infraval import errors
from infraval.requests import making, shards
from infraval.storage import beam_files

Prepare = Callable[..., making.Requests]
BUCKET = "bucket"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def s3(start_s3: Callable[..., int]) -> Any:
    """A client of an S3 server, with one bucket."""
    url = f"http://127.0.0.1:{start_s3()}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="test",
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=BUCKET)
    yield client
    client.close()


@pytest.fixture(scope="module")
def elsewhere(
    s3: Any, start_elsewhere: Callable[..., tuple[str, ...]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, ...]:
    """Options for a pool of workers that see nothing of the tests' temporary folders.

    Beam's pool does not hand the pipeline's options on to them, so they have the endpoint from their environment.
    """
    return (
        *start_elsewhere(tmp_path_factory.getbasetemp(), **KEYS, AWS_ENDPOINT_URL=s3.meta.endpoint_url),
        f"--s3_endpoint_url={s3.meta.endpoint_url}",
        "--s3_access_key_id=test",
        "--s3_secret_access_key=test",
        "--s3_region_name=us-east-1",
    )


def keys(s3: Any) -> set[str]:
    """Of all objects."""
    return {each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}


@pytest.mark.slow
def test_examples_and_result_in_an_object_store(
    s3: Any,
    elsewhere: tuple[str, ...],
    taxi_examples: Path,
    prepare: Prepare,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same bytes as from local files, and only the examples are left in the bucket."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    local = shards.find([str(taxi_examples / "Split-eval" / "*")])
    for path in local:
        s3.upload_file(path, BUCKET, f"examples/{Path(path).name}")
    before = keys(s3)
    beam_files.configure(elsewhere)
    uris = shards.find([f"s3://{BUCKET}/examples/*"])
    assert len(uris) == len(local) == 12
    found = prepare(uris, elsewhere, result_in=f"s3://{BUCKET}/temporary")
    assert found.path.read_bytes() == prepare(local).path.read_bytes()
    assert keys(s3) == before


@pytest.mark.slow
def test_local_examples_are_not_there(
    elsewhere: tuple[str, ...], tmp_path: Path, taxi_examples: Path, prepare: Prepare
) -> None:
    """The workers say which file they cannot read."""
    shard = tmp_path / "shard.gz"
    shard.write_bytes((taxi_examples / "Split-eval" / "data_tfrecord-00000-of-00012.gz").read_bytes())
    with pytest.raises(errors.ExamplesError, match=f"{shard} cannot be read"):
        prepare([str(shard)], elsewhere, result_in=f"s3://{BUCKET}/temporary")


@pytest.mark.slow
def test_a_result_in_a_local_folder_is_not_there(
    elsewhere: tuple[str, ...], taxi_examples: Path, prepare: Prepare
) -> None:
    """The client finds no result, and says so."""
    with pytest.raises(errors.ExamplesError) as caught:
        prepare(shards.find([str(taxi_examples / "Split-eval" / "*")]), elsewhere)
    assert caught.value.code == "examples/no-result"
