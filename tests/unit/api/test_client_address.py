"""Whose address a request counts for."""

from ipaddress import ip_network

import pytest

from orchestrator.api.client_address import client_address

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "counted"),
    [
        pytest.param("1.2.3.4", None, "1.2.3.4", id="nobody in between"),
        pytest.param("1.2.3.4", "5.6.7.8", "1.2.3.4", id="a stranger's header is ignored"),
        pytest.param("10.0.0.1", "5.6.7.8", "5.6.7.8", id="a proxy is believed"),
        pytest.param("10.0.0.1", "9.9.9.9, 5.6.7.8", "5.6.7.8", id="what is left of it is forged"),
        pytest.param("10.0.0.1", "9.9.9.9,5.6.7.8,10.7.7.7", "5.6.7.8", id="two proxies"),
        pytest.param("10.0.0.1", "5.6.7.8,unknown", "10.0.0.1", id="a hop that is no address"),
        pytest.param("10.0.0.1", "5.6.7.8:80", "10.0.0.1", id="a hop with a port"),
        pytest.param("10.0.0.1", "", "10.0.0.1", id="an empty header"),
        pytest.param("10.0.0.1", None, "10.0.0.1", id="a proxy that says nothing"),
        pytest.param("10.0.0.1", "10.2.2.2", "10.0.0.1", id="all are trusted"),
        pytest.param("10.0.0.1", "5.6.7.8" + ",10.1.1.1" * 999, "10.0.0.1", id="too many hops"),
        pytest.param("10.0.0.1", "," * 30_000, "10.0.0.1", id="only commas"),
        pytest.param("::ffff:1.2.3.4", None, "1.2.3.4", id="IPv4 on a socket of IPv6"),
        pytest.param("::ffff:10.0.0.1", "5.6.7.8", "5.6.7.8", id="a proxy on such a socket"),
        pytest.param("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::/64", id="a /64 is one"),
        pytest.param("2001:db8:1:2::9", None, "2001:db8:1:2::/64", id="all of it"),
        pytest.param("2001:db8:1:3::9", None, "2001:db8:1:3::/64", id="the next is another"),
        pytest.param("fd00::1", "2001:db8::1", "2001:db8::/64", id="a proxy of IPv6"),
        pytest.param("fe80::1%eth0", None, "fe80::/64", id="an address with a zone"),
        pytest.param("", "5.6.7.8", "", id="no address at all"),
    ],
)
def test_a_request_counts_for(peer, forwarded_for, counted):
    environ = {"REMOTE_ADDR": peer}
    if forwarded_for is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded_for

    assert client_address(environ, PROXIES) == counted


def test_without_trusted_proxies_nobody_is_believed():
    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "5.6.7.8"}

    assert client_address(environ, ()) == "127.0.0.1"
