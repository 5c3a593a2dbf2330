"""`fast_server.py` for all of `peers.py`: each API's own answers; the first query finds it done.

``python benchmarks/peer_server.py [--pem FILE]`` serves on a free port and prints its URL; with a
certificate and its key it speaks https.
"""

import argparse
import asyncio
import ssl
from collections.abc import Mapping
from itertools import count
from typing import Final

from fast_server import Service, serve

_PREDICTION: Final = (
    b'{"id":"$ID","model":"ruxa/horse","version":"hidden","input":{"prompt":"A horse"},"logs":"",'
    b'"output":%b,"data_removed":false,"error":null,"source":"api","status":"%b",'
    b'"created_at":"2025-12-01T10:00:00.000Z","urls":{"get":"https://api.test/v1/predictions/$ID"}}'
)
_VIDEO: Final = (
    b'{"id":"$ID","object":"video","created_at":1764583200,"completed_at":%b,"error":null,'
    b'"expires_at":null,"model":"sora-2","progress":%b,"remixed_from_video_id":null,'
    b'"seconds":"4","size":"720x1280","status":"%b"}'
)
#: What each API answers, by how a request begins. Whatever else is asked is Ruxa's.
_ANSWERS: Final[Mapping[bytes, bytes]] = {
    b"POST /videos ": _VIDEO % (b"null", b"0", b"queued"),
    b"GET /videos/": _VIDEO % (b"1764583201", b"100", b"completed"),
    b"POST /v1/models/": _PREDICTION % (b"null", b"starting"),
    b"GET /v1/predictions/": _PREDICTION % (b'"https://files.test/$ID.mp4"', b"succeeded"),
    b"POST /v1/image_to_video ": b'{"id":"$ID","estimatedCost":{"credits":25}}',
    b"GET /v1/tasks/": (
        b'{"id":"$ID","status":"SUCCEEDED","createdAt":"2025-12-01T10:00:00.000Z",'
        b'"cost":{"credits":25},"output":["https://files.test/$ID.mp4"]}'
    ),
    b"POST /fal-ai/veo3 ": (
        b'{"status":"IN_QUEUE","queue_position":0,"request_id":"$ID",'
        b'"response_url":"$URL/fal-ai/veo3/requests/$ID",'
        b'"status_url":"$URL/fal-ai/veo3/statuses/$ID",'
        b'"cancel_url":"$URL/fal-ai/veo3/requests/$ID/cancel"}'
    ),
    b"GET /fal-ai/veo3/statuses/": (
        b'{"status":"COMPLETED","request_id":"$ID","logs":null,"metrics":{"inference_time":1.0}}'
    ),
    b"GET /fal-ai/veo3/requests/": b'{"video":{"url":"https://files.test/$ID.mp4"}}',
}
_NUMBERS: Final = count()


class PeerService(Service):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where one is asked, too: fal's answers name it."""
        super().connection_made(transport)
        self._url = b"https://127.0.0.1:%d" % transport.get_extra_info("sockname")[1]

    def _body(self, head: bytes) -> bytes:
        for beginning, answer in _ANSWERS.items():
            if head.startswith(beginning):
                path = head[: head.index(b" HTTP")].partition(b"?")[0]
                asked = path.rpartition(b"/")[2]
                task_id = asked if head.startswith(b"GET") else b"task-%d" % next(_NUMBERS)
                return answer.replace(b"$ID", task_id).replace(b"$URL", self._url)
        return super()._body(head)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pem")
    options = parser.parse_args()
    tls = None
    if options.pem:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.pem)
    asyncio.run(serve(PeerService, tls))
