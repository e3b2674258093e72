"""The settings that say who is asking, and how often he may."""

from ipaddress import ip_network

import pytest

from orchestrator.settings import SettingsError, load

NEEDED = {"DATABASE_URL": "postgresql://someone@host/dibs", "DIBS_SECRET_KEY": "k" * 32}


def test_nobody_is_trusted_unless_it_is_said():
    settings = load(NEEDED)

    assert settings.trusted_proxies == ()
    assert settings.token_requests_per_second == 5_000


def test_proxies_are_addresses_and_networks():
    settings = load(NEEDED | {"DIBS_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7 ,fd00::/8,::1"})

    assert settings.trusted_proxies == tuple(
        map(ip_network, ("10.0.0.0/8", "192.0.2.7/32", "fd00::/8", "::1/128"))
    )


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("proxy.example", "'proxy.example'"),
        ("10.0.0.1,,10.0.0.2", "''"),
        ("10.0.0.1/8", "'10.0.0.1/8'"),
        ("10.0.0.0/33", "'10.0.0.0/33'"),
        ("*", "'*'"),
    ],
)
def test_anything_else_is_named_beside_all_other_mistakes(value, named):
    bad = {"DIBS_TRUSTED_PROXIES": value, "DIBS_TOKEN_REQUESTS_PER_SECOND": "0"}

    with pytest.raises(SettingsError) as wrong:
        load(NEEDED | bad)

    assert f"DIBS_TRUSTED_PROXIES: {named} is neither an address nor a network" in str(wrong.value)
    assert "DIBS_TOKEN_REQUESTS_PER_SECOND: Input should be greater than" in str(wrong.value)
