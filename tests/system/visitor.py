"""Somebody who is logged in to Airflow and looks at its pages: what they open, fill in, press and read.

They go by what a person sees, so that the pages of Airflow 3.1 and 3.3 are used in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dev.browser import take_picture, window

PATIENCE = 180_000
"""Milliseconds for what the browser waits for: SQLite may let one who writes wait for a minute."""
FORMS = re.compile(r"/api/v2/.*/(dagRuns|hitlDetails|test)$|/api/v2/connections(/[^/]+)?$")
"""Where a form is sent to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What Airflow answered to a form."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True)
class Visitor:
    page: Any
    address: str
    """Of Airflow's pages."""
    pictures: Path
    """The folder for what :meth:`picture` takes."""

    @classmethod
    def logged_in(cls, browser: Any, address: str, name: str, pictures: Path) -> Visitor:
        """Somebody whose password is their name."""
        visitor = cls(window(browser), address, pictures)
        visitor.page.set_default_timeout(PATIENCE)
        visitor.open("/")
        visitor.page.locator("input[name=username]").fill(name)
        visitor.page.locator("input[name=password]").fill(name)
        visitor.page.locator("button[type=submit]").click()
        visitor.page.wait_for_url(lambda url: "/auth/" not in url)
        return visitor

    def open(self, path: str) -> None:
        self.page.goto(f"{self.address}{path}")

    def sees(self, text: str | re.Pattern[str], within: Any = None) -> Any:
        """Wait until the text is there, and return where."""
        place = (within or self.page).get_by_text(text).first
        place.wait_for()
        return place

    def unfold(self, title: str, until: re.Pattern[str]) -> None:
        """Open a part of the log, where this version of Airflow has folded it, until the text is seen."""
        fold, text = self.page.get_by_text(title), self.page.get_by_text(until)
        fold.or_(text).first.wait_for()
        if fold.count() and not text.count():
            fold.first.click()
        text.first.wait_for()

    def picture(self, name: str, **part: Any) -> None:
        # What comes and goes by itself is not the subject.
        self.page.mouse.move(0, 0)
        take_picture(self.page, self.pictures / f"{name}.png", **part)

    # ---- forms, which are dialogs

    @property
    def form(self) -> Any:
        return self.page.get_by_role("dialog")

    def field(self, title: str) -> Any:
        # "Host" is "host" in 3.1.
        label = self.page.locator("label").filter(has_text=re.compile(rf"^{re.escape(title)}\s*\*?$", re.I))
        return self.form.get_by_role("group").filter(has=label).locator("input, textarea").first

    def fill(self, title: str, value: object) -> None:
        """A list is a line each, True and False are a switch."""
        field = self.field(title)
        if isinstance(value, bool):
            if field.is_checked() != value:
                # The box itself is out of sight.
                field.locator("xpath=..").click()
            assert field.is_checked() == value
        else:
            field.fill("\n".join(value) if isinstance(value, list) else str(value))
            field.blur()

    def open_section(self, title: str) -> None:
        """Of a connection's form; Airflow 3.1 has one for all fields that are not its own."""
        section = self.form.get_by_role("button", name=re.compile(rf"^({re.escape(title)}|Extra Fields)$")).first
        if section.get_attribute("aria-expanded") != "true":
            section.click()

    def send(self, button: str) -> Answer:
        """Press the form's button."""
        return self.answer_to(self.form.get_by_role("button", name=button, exact=True).last.click)

    def answer_to(self, act: Callable[[], None]) -> Answer:
        def is_sent(response: Any) -> bool:
            return response.request.method in ("POST", "PATCH") and bool(FORMS.search(urlsplit(response.url).path))

        with self.page.expect_response(is_sent) as answered:
            act()
        return Answer(answered.value.status, answered.value.json())

    # ---- DAGs, runs and tasks

    def open_trigger_form(self, dag_id: str) -> None:
        self.open(f"/dags/{dag_id}")
        self.page.get_by_role("button", name="Trigger").first.click()
        self.sees("Run Parameters", self.form)

    def open_task(self, dag_id: str, run_id: str, task_id: str, tab: str = "") -> None:
        self.open(f"/dags/{dag_id}/runs/{run_id}/tasks/{task_id}{tab and f'/{tab}'}")
