"""Where the server listens."""

import socket
from pathlib import Path

import pytest

from policy.errors import PolicyError
from policy.server.config import ServerConfig, build
from policy.server.listen import bound, token


class FakeServer:
    """Binds as gRPC does."""

    def add_insecure_port(self, address: str) -> int:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(address.removeprefix("unix:"))
        return 1


def config(path: Path) -> ServerConfig:
    return build({"listen": f"unix:{path}"}, "test")


def bind(path: Path) -> None:
    with bound(FakeServer(), config(path)) as address:  # type: ignore[arg-type]
        assert address == f"unix:{path}"
        assert path.is_socket()
        assert path.stat().st_mode & 0o777 == 0o600


def test_the_socket_is_private_and_removed(tmp_path: Path) -> None:
    bind(tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def test_a_dead_servers_socket_is_replaced(tmp_path: Path) -> None:
    FakeServer().add_insecure_port(str(tmp_path / "s"))
    bind(tmp_path / "s")


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")
    with pytest.raises(PolicyError, match="a file of this name is there already"):
        bind(tmp_path / "s")
    assert (tmp_path / "s").read_text() == "precious"


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="there is no folder"):
        bind(tmp_path / "none" / "s")
    with pytest.raises(PolicyError, match="longer than 107 bytes"):
        bind(tmp_path / ("x" * 108))


def test_tokens(tmp_path: Path) -> None:
    path = tmp_path / "token"
    settings = {"listen": "h:1", "tls_cert": "c", "tls_key": "k", "token_file": str(path)}
    tcp = build(settings, "test")
    with pytest.raises(PolicyError, match="No such file"):
        token(tcp)
    path.write_text("short")
    with pytest.raises(PolicyError, match="at least 16 characters"):
        token(tcp)
    path.write_text("0123456789abcdef\n")
    assert token(tcp) == "0123456789abcdef"
