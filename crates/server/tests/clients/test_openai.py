"""The client of OpenAI, unchanged."""

import base64
import io
import random

import openai
import pytest

import tiny


@pytest.fixture(scope="module")
def client(url):
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def test_models(client):
    models = client.models.list().data
    assert len(models) == 1 and models[0].owned_by == "gxn"


def test_embeddings_of_texts(client):
    model = client.models.list().data[0].id
    texts = ["a red patch", "a blue patch", "a red patch"]
    # The client asks for base64 unless told otherwise; both forms hold the same numbers.
    packed = client.embeddings.create(model=model, input=texts)
    plain = client.embeddings.create(model=model, input=texts, encoding_format="float")
    assert [row.index for row in packed.data] == [0, 1, 2]
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert packed.data[0].embedding == packed.data[2].embedding != packed.data[1].embedding
    assert len(packed.data[0].embedding) > 8 and packed.usage.prompt_tokens > 0
    single = client.embeddings.create(model=model, input="a red patch")
    assert single.data[0].embedding == pytest.approx(packed.data[0].embedding, abs=1e-6)


def test_embeddings_of_images(client):
    file = io.BytesIO()
    tiny.patch("red", 0, random.Random(3)).save(file, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    model = client.models.list().data[0].id
    image = client.embeddings.create(model=model, input=[uri], extra_body={"modality": "image"}).data[0].embedding
    text = client.embeddings.create(model=model, input=["a red patch"]).data[0].embedding
    assert len(image) == len(text) and dot(image, image) > 0.1


def test_errors_say_what_is_wrong(client):
    with pytest.raises(openai.APIStatusError) as refused:
        client.embeddings.create(model="no such model", input=["a"])
    assert refused.value.status_code in (400, 404)
    with pytest.raises(openai.APIStatusError) as refused:
        client.embeddings.create(model=client.models.list().data[0].id, input=[])
    assert refused.value.status_code in (400, 422)
    assert "expected" in str(refused.value.body)


def test_a_wrong_key_is_refused(locked_url):
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{locked_url}/v1", api_key="wrong", max_retries=0).models.list()
