"""The client of clip-retrieval, unchanged. Its package imports a deep-learning framework, its client only requests: the
file of the client is loaded by itself."""

import importlib.util
import random
import sysconfig
from pathlib import Path

import pytest
import requests

import tiny


@pytest.fixture(scope="module")
def clip_client():
    file = Path(sysconfig.get_paths()["purelib"]) / "clip_retrieval" / "clip_client.py"
    spec = importlib.util.spec_from_file_location("clip_client", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def client(clip_client, url, **options):
    name = requests.get(f"{url}/indices-list", timeout=10).json()[0]
    return clip_client.ClipClient(url=f"{url}/knn-service", indice_name=name, **options)


def test_a_text_finds_images(clip_client, url):
    hits = client(clip_client, url, num_images=7).query(text="a red patch at the top left")
    assert len(hits) == 7 and all({"id", "similarity"} <= hit.keys() for hit in hits), hits
    assert [hit["similarity"] for hit in hits] == sorted((hit["similarity"] for hit in hits), reverse=True)


def test_an_image_finds_images(clip_client, url, tmp_path):
    file = tmp_path / "query.png"
    tiny.patch("blue", 1, random.Random(5)).save(file)
    hits = client(clip_client, url, num_images=5).query(image=str(file))
    assert len(hits) == 5, hits


def test_a_text_finds_captions(clip_client, url):
    hits = client(clip_client, url, num_images=3, modality=clip_client.Modality.TEXT).query(text="a red patch")
    assert len(hits) == 3 and all(hit["caption"] for hit in hits), hits


def test_metadata_of_hits(clip_client, url):
    hits = client(clip_client, url, num_images=2).query(text="a red patch")
    name = requests.get(f"{url}/indices-list", timeout=10).json()[0]
    body = {"ids": [hit["id"] for hit in hits], "indice_name": name}
    answer = requests.post(f"{url}/metadata", json=body, timeout=10).json()
    assert [entry["id"] for entry in answer] == body["ids"] and all(entry["metadata"] for entry in answer), answer


def test_an_address_is_not_fetched(clip_client, url):
    answer = client(clip_client, url).query(image="http://127.0.0.1:9/image.png")
    assert isinstance(answer, dict) and answer["status"] == 400, answer
