import pytest

from worker import settings


@pytest.mark.parametrize("port", ["abc", "0", "99999", "-1", "７８"])
def test_a_port_that_is_none_ends_the_program_with_a_sentence(studio_home, monkeypatch, port):
    monkeypatch.setenv("PORT", port)
    with pytest.raises(SystemExit, match=r"is no port; choose a number"):
        settings.refuse_impossible()


def test_a_home_that_cannot_be_made_ends_the_program_with_a_sentence(monkeypatch):
    monkeypatch.setenv("STUDIO_HOME", "/proc/nowhere/home")
    with pytest.raises(SystemExit, match=r"cannot be made .* name a folder that you may write to"):
        settings.refuse_impossible()


def test_a_home_deep_in_folders_gets_a_socket_that_the_kernel_takes(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / ("deep" * 30)))
    assert len(str(settings.redis_socket())) < 107


def test_two_homes_never_share_a_queue(tmp_path, monkeypatch):
    sockets = set()
    for name in ("one" * 40, "two" * 40):
        monkeypatch.setenv("STUDIO_HOME", str(tmp_path / name))
        sockets.add(settings.redis_socket())
    assert len(sockets) == 2
