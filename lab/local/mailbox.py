"""The mailbox of one machine: each report becomes a mail file in `outbox/`, ready to read or to send."""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

from lab.control import Report
from lab.files import Files, SystemFiles


class FileMailbox:
    """Implements `lab.backend.Mailbox`. Delivering the same report again replaces the same file."""

    def __init__(self, folder: Path, files: Files | None = None) -> None:
        self.folder, self._files = folder, files or SystemFiles()

    def deliver(self, report: Report) -> str:
        mail = EmailMessage()
        mail["Subject"] = f"{report.subject} [{report.key}]"
        mail["Date"] = datetime.fromtimestamp(report.at, UTC)
        mail.set_content(report.text)
        target = self.folder / f"{report.key.replace(':', '')}.eml"
        aside = target.with_suffix(".aside")
        self._files.write(aside, mail.as_bytes())
        self._files.replace(aside, target)
        return str(target)
