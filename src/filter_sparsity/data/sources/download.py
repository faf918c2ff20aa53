"""Downloading an archive: resumable, tried again, and in place only once its checksum holds."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from ...errors import UserError
from ...files import naming_file
from ...progress import Bar
from .archives import md5

ATTEMPTS = 5
CHUNK = 1 << 20


def download(url: str, path: Path, checksum: str, pause: float = 1.0) -> None:
    """Bring what is at `url` to `path`, if its md5 is `checksum`; `pause` is the wait before the second attempt, in s.

    Received bytes stay in `<path>.part`, and a later call resumes there. Raises UserError if the server refuses,
    the connection fails every time, or the file that comes is another one, which is then deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    failed = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        resumed = part.exists() and part.stat().st_size > 0
        try:
            _receive(url, part)
        except urllib.error.HTTPError as error:
            if error.code == 416 and resumed:  # nothing after what is there: it is whole, or not a part of this file
                pass
            elif error.code >= 500 or error.code == 429:
                failed = f"the server says {error.code} {error.reason}"
                continue
            else:
                raise UserError(f"{url}: the server says {error.code} {error.reason}") from None
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            failed = f"{getattr(error, 'reason', error)}" or type(error).__name__
            continue
        except ValueError as error:
            raise UserError(f"cannot download {url!r}: {error}") from None
        found = md5(part)
        if found == checksum:
            part.replace(path)
            return
        part.unlink()
        if not resumed:
            raise UserError(f"{url} gave another file: its md5 is {found}, not {checksum}; nothing was kept")
        failed = f"what was in {part} was not the beginning of it"
    kept = f"; {part.stat().st_size:,} bytes are kept, and the next call resumes there" if part.exists() else ""
    raise UserError(f"cannot download {url}: {failed} ({ATTEMPTS} attempts){kept}")


def _receive(url: str, part: Path) -> None:
    """Append the missing bytes to `part`, or start again if the server does not send ranges."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        if answer.status != 206:
            have = 0
        left = answer.headers.get("Content-Length")
        total = have + int(left) if left else None
        with (
            part.open("ab" if have else "wb") as file,
            Bar(part.stem, total, "bytes", done=have) as progress,
        ):
            while block := answer.read(CHUNK):
                with naming_file(part):
                    file.write(block)
                progress.update(len(block))
                have += len(block)
    if total is not None and have < total:
        raise ConnectionError(f"the connection was cut at {have:,} of {total:,} bytes")
