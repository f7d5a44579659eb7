"""A host on this machine that sends files as the hosts of public data do."""

import functools
import hashlib
import http.server
import json
import threading
from contextlib import contextmanager


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Sends files of a folder; of one whose name holds ``cut`` fewer bytes than it promises."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        if "cut" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
        else:
            super().do_GET()


@contextmanager
def serve(folder):
    """Serve a new folder; yield it and its address."""
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{host.server_port}"
        host.shutdown()


@contextmanager
def zenodo(folder, monkeypatch):
    """Serve records as Zenodo does, an address behind a DOI; yield what publishes one."""
    from pooch import downloaders

    with serve(folder) as (folder, address):
        monkeypatch.setattr(
            downloaders, "doi_to_url", lambda doi, **_: f"https://zenodo.org/{doi.split('.')[-1]}"
        )
        monkeypatch.setattr(downloaders.ZenodoRepository, "base_api_url", address)

        def publish(number, contents, sums=None):
            """Put up files, and a record of them with md5 sums, of other contents if told so."""
            listing = []
            for name, content in contents.items():
                (folder / name.rpartition("/")[2]).write_bytes(content)
                md5 = hashlib.md5((sums or {}).get(name, content)).hexdigest()
                links = {"self": f"{address}/{name.rpartition('/')[2]}"}
                listing.append({"key": name, "checksum": f"md5:{md5}", "links": links})
            record = {"id": int(number), "files": listing}
            (folder / number).write_text(json.dumps(record))

        yield publish
