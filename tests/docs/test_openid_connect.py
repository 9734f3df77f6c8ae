"""The page of OpenID Connect, with a provider that is a server of its own."""

import time
from typing import Any

import jwt
import pytest
from aiohttp import web
from support.pages import Serve, ask, program
from yarl import URL

CLAIMS = {"aud": "shop", "sub": "ann"}
FORM = {"Origin": "https://login.example", "Sec-Fetch-Site": "cross-site"}


class Provider:
    """Gives each code an ID token with the nonce that its login was begun with; ``claims`` replace others."""

    url: URL

    def __init__(self) -> None:
        self.nonces: dict[str, str] = {}
        self.claims: dict[str, Any] = {}

    def code_of(self, begun: URL) -> str:
        """The user agrees to a login."""
        assert begun.with_query(None) == self.url / "authorize"
        assert begun.query["client_id"] == "shop"
        code = f"code {len(self.nonces)}"
        self.nonces[code] = begun.query["nonce"]
        return code

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        nonce = self.nonces.pop(str(form["code"]), None)
        if nonce is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        claims = {**CLAIMS, "iss": str(self.url.origin()), "exp": time.time() + 60, "nonce": nonce, **self.claims}
        return web.json_response({"id_token": jwt.encode(claims, "a key of the provider, 32 bytes long")})


@pytest.fixture
async def provider(aiohttp_server: Any) -> Provider:
    provider = Provider()
    app = web.Application()
    app.router.add_post("/token", provider.token)
    provider.url = (await aiohttp_server(app)).make_url("/")
    return provider


@pytest.fixture
def make_app(provider: Provider) -> Any:
    names: dict[str, Any] = program("how-to/openid-connect")
    names["login"].__globals__.update(
        ISSUER=str(provider.url.origin()), AUTHORIZE=str(provider.url / "authorize"), TOKEN=str(provider.url / "token")
    )
    return names["make_app"]


async def begin(client: Any) -> URL:
    """Where the browser is sent to log in."""
    async with client.get("/login", allow_redirects=False) as response:
        assert response.status == 302
        return URL(response.headers["Location"])


async def come_back(client: Any, **query: str) -> int:
    """The status of the callback."""
    async with client.get("/callback", params=query, allow_redirects=False) as response:
        return int(response.status)


async def test_a_user_of_the_provider_is_logged_in_once_for_each_code(
    serve: Serve, provider: Provider, make_app: Any
) -> None:
    client = await serve(make_app())
    begun = await begin(client)
    query = {"code": provider.code_of(begun), "state": begun.query["state"]}
    assert await come_back(client, **query) == 303
    assert await ask(client, "/") == {"user": "ann"}
    assert await come_back(client, **query) == 400
    stranger = await serve(make_app())
    assert await come_back(stranger, **query) == 400
    assert await ask(stranger, "/") == {"user": None}


async def test_a_login_with_a_foreign_state_or_a_used_code_is_refused(
    serve: Serve, provider: Provider, make_app: Any
) -> None:
    client, other = await serve(make_app()), await serve(make_app())
    code, state = provider.code_of(await begin(other)), (await begin(client)).query["state"]
    assert await come_back(client, code=code, state="x") == 400
    state = (await begin(client)).query["state"]
    assert await come_back(client, code=code, state=state) == 403, "the nonce is that of another login"
    state = (await begin(client)).query["state"]
    assert await come_back(client, code=code, state=state) == 403, "the code was used"
    assert await ask(client, "/") == {"user": None}


@pytest.mark.parametrize("claims", [{"aud": "other"}, {"exp": 1}, {"iss": "https://evil.example"}, {"nonce": "x"}])
async def test_an_id_token_that_is_not_for_this_login_is_refused(
    serve: Serve, provider: Provider, make_app: Any, claims: dict[str, Any]
) -> None:
    client = await serve(make_app())
    begun = await begin(client)
    provider.claims = claims
    assert await come_back(client, code=provider.code_of(begun), state=begun.query["state"]) == 403
    assert await ask(client, "/") == {"user": None}


async def test_a_form_post_without_cookies_is_sent_on_to_the_callback(
    serve: Serve, provider: Provider, make_app: Any
) -> None:
    client, without_cookies = await serve(make_app()), await serve(make_app())
    begun = await begin(client)
    form = {"code": provider.code_of(begun), "state": begun.query["state"], "session_state": "more"}
    async with without_cookies.post("/form-callback", data=form, headers=FORM, allow_redirects=False) as response:
        assert (response.status, response.cookies) == (303, {})
        location = URL(response.headers["Location"])
    assert location.path == "/callback"
    assert await come_back(client, **location.query) == 303
    assert await ask(client, "/") == {"user": "ann"}
