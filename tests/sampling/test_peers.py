"""What processes report that wait for one that has ended, or that is late."""

import pytest
from torch.distributed import DistNetworkError

from phf.errors import PeerError
from phf.sampling.peers import lost_peers

CLOSED = "[/pytorch/gloo/pair.cc:553] Connection closed by peer [127.0.0.1]:8588.\nmore"
LATE = "[/pytorch/gloo/unbound_buffer.cc:129] Timed out waiting 5000ms for send operation to complete"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError(CLOSED), r"has ended, or cannot be reached: .*8588\. Its own message"),
        (DistNetworkError("failed to recv"), "has ended, or cannot be reached: failed to recv"),
        (RuntimeError(LATE), r"did not respond in time: .*training\.ddp_timeout"),
    ],
)
def test_a_lost_process_is_reported_instead_of_a_traceback(error, message):
    with pytest.raises(PeerError, match=message), lost_peers(2):
        raise error


def test_other_errors_and_those_of_a_process_alone_are_left_as_they_are():
    with pytest.raises(RuntimeError, match="shape"), lost_peers(2):
        raise RuntimeError("shape mismatch")
    with pytest.raises(RuntimeError, match="closed by peer") as raised, lost_peers(1):
        raise RuntimeError(CLOSED)
    assert not isinstance(raised.value, PeerError)
