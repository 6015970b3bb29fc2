"""`descscore audit` on the command line: exit codes, outputs, configuration, bad input."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.command_line import command_line

CLEAN = "<p><img src=a.png alt='Dog on a beach'></p>"
BAD = "<p>\n <img src=a.png></p>"
VAGUE = "<img src=a.png alt=photo>"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)

    return command_line(capsys, "audit")


def write(name: str, text: str | bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "fail_on", "code"),
    [
        (CLEAN, "review", 0),
        (BAD, "violation", 1),
        (BAD, "review", 1),
        (BAD, "never", 0),
        (VAGUE, "violation", 0),
        (VAGUE, "review", 1),
        ('<img alt="">', "review", 0),
    ],
)
def test_exit_code(run, text: str, fail_on: str, code: int) -> None:
    write("page.html", text)
    assert run("page.html", "--fail-on", fail_on).code == code


def test_violations_fail_by_default(run) -> None:
    write("page.html", BAD)
    assert run(".").code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.html"], "gone.html does not exist"),
        (["page.txt"], "unsupported file extension"),
        (["page.html", "--disable", "image-allt"], "did you mean 'image-alt'"),
        (["page.html", "--root", "gone"], "not a folder"),
        (["page.html", "-o", "report.pdf"], "unsupported file extension"),
        (["page.html", "-o", "gone/report.json"], "does not exist; create it"),
        (["page.html", "--config", "gone.toml"], "gone.toml does not exist"),
        ([], "Missing argument"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run, arguments: list[str], said: str) -> None:
    write("page.html", CLEAN)
    write("page.txt", "")
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_terminal_names_page_line_rule_and_advice(run) -> None:
    write("page.html", BAD)
    out = run("page.html").out
    assert out.splitlines()[0] == "page.html"
    assert "2:2" in out
    assert "image-alt" in out
    assert "<img src=a.png>" in out
    assert "1 image in 1 page: 1 violation, 0 to review" in out


def test_json_has_the_shape_of_axe(run) -> None:
    write("page.html", BAD + VAGUE)
    done = run("page.html", "--json")
    found = json.loads(done.out)
    (rule,) = found["violations"]
    assert (rule["id"], rule["impact"]) == ("image-alt", "critical")
    assert "wcag111" in rule["tags"]
    (node,) = rule["nodes"]
    assert {name: node[name] for name in ("file", "line", "column", "html", "image", "alt")} == {
        "file": "page.html",
        "line": 2,
        "column": 2,
        "html": "<img src=a.png>",
        "image": "a.png",
        "alt": None,
    }
    assert [each["id"] for each in found["incomplete"]] == ["alt-vague"]
    assert [node["alt"] for node in found["passes"][0]["nodes"]] == ["photo"]


def test_several_reports_are_written_at_once(run) -> None:
    write("page.html", BAD)
    names = ["a.json", "a.sarif", "a.xml", "a.html", "a.txt"]
    done = run("page.html", "-q", *(part for name in names for part in ("-o", name)))
    assert (done.code, done.out) == (1, "")
    assert all(Path(name).stat().st_size for name in names)
    assert sorted(each.name for each in Path().iterdir()) == sorted([*names, "page.html"])


def test_format_is_what_is_asked_for_whatever_the_file_is_called(run) -> None:
    write("page.html", BAD)
    run("page.html", "--format", "json", "-o", "findings")
    assert json.loads(Path("findings").read_text())["violations"]
    assert json.loads(run("page.html", "--format", "sarif").out)["version"] == "2.1.0"


def test_folders_are_walked_without_what_is_not_ones_own(run) -> None:
    for name in ("a.html", "b/c.HTM", "b/d.md", ".git/e.html", "node_modules/f.html", "g.txt"):
        write(name, "<img alt='Dog on a beach'>")
    files = {
        node["file"]
        for rule in json.loads(run(".", "--json").out)["passes"]
        for node in rule["nodes"]
    }
    assert files == {"a.html", "b/c.HTM", "b/d.md"}


@pytest.mark.parametrize("pattern", ["b", "b/", "b/*", "*.HTM", "**/c.HTM", "./b"])
def test_ignored_paths_are_left_out(run, pattern: str) -> None:
    write("a.html", BAD)
    write("b/c.HTM", BAD)
    summary = json.loads(run(".", "--json", "--ignore", pattern).out)["summary"]
    assert summary["pages"] == 1


def test_no_documents_are_said(run) -> None:
    assert "no documents" in run(".").err


# Configuration.


def test_settings_come_from_the_nearest_file(run, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        "pyproject.toml",
        '[tool.descscore.audit]\nfail-on = "review"\nvague-words = ["our shop"]\n'
        'ignore = ["old/*"]\ndisable = ["alt-credit"]\n',
    )
    write("site/page.html", "<img alt='Our Shop'>")
    write("site/old/page.html", BAD)
    monkeypatch.chdir("site")
    done = run(".", "--json")
    assert done.code == 1
    assert [each["id"] for each in json.loads(done.out)["incomplete"]] == ["alt-vague"]


def test_command_line_is_above_the_file(run) -> None:
    write("descscore.toml", '[audit]\nfail_on = "never"\n')
    write("page.html", BAD)
    assert run("page.html").code == 0
    assert run("page.html", "--fail-on", "violation").code == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[audit]\nfail_onn = "never"', "did you mean 'fail_on'"),
        ("[audit]\nignore = 3", "use a list of strings"),
        ('[audit]\nmax_length = "long"', "use a whole number"),
        ("[audit", "is not TOML"),
        ("[other]", "has no table"),
    ],
)
def test_wrong_configuration_is_refused(run, text: str, said: str) -> None:
    path = write("own/descscore.toml", text)
    write("page.html", CLEAN)
    done = run("page.html", "--config", path)
    assert done.code == 2
    assert said in done.err


# Bad input.


def test_bad_documents_are_one_line_each_and_stop_nothing(run) -> None:
    write("binary.html", b"\x89PNG\r\n\x1a\n\0\0\0")
    write("deep.html", "<div>" * 10_000 + "<img>")
    write("broken.epub", b"PK\x03\x04 no archive")
    write("broken.docx", b"")
    with zipfile.ZipFile("empty.pptx", "w") as archive:
        archive.writestr("a.txt", "")
    write("large.html", b"<img>" * 10 + b" " * (33 * 2**20))
    write("page.html", BAD)
    done = run(".", "--json")
    assert done.code == 1
    found = json.loads(done.out)
    assert {each["file"] for each in found["errors"]} == {
        "binary.html",
        "broken.docx",
        "broken.epub",
        "deep.html",
        "empty.pptx",
        "large.html",
    }
    assert all("\n" not in each["message"] for each in found["errors"])
    assert found["violations"][0]["nodes"][0]["file"] == "page.html"
    shown = run(".").out
    assert shown.count("not read  ") == 6


def test_a_file_that_cannot_be_opened_stops_nothing(run) -> None:
    Path("gone.html").symlink_to("nowhere.html")
    write("page.html", CLEAN)
    assert run(".", "--fail-on", "never").code == 0
    done = run(".", "--json")
    assert done.code == 1  # what was not read has not passed
    assert json.loads(done.out)["errors"] == [
        {"file": "gone.html", "message": "cannot be read: No such file or directory"}
    ]


def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(CLEAN)
    code = (
        "import sys; sys.modules['lxml'] = None; sys.modules['lxml.etree'] = None\n"
        f"from descscore.cli.app import app; app(['audit', {str(page)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'pip install "descscore[audit]"' in done.stderr


def test_audit_loads_no_torch(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(CLEAN)
    code = (
        "import sys; from descscore.cli.app import app\n"
        f"try: app(['audit', {str(page)!r}])\n"
        "finally: print('torch' in sys.modules, 'numpy' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "False False\n"


# Baselines, the web, a browser.


def test_known_findings_fail_nothing_and_stale_entries_are_said(run) -> None:
    write("page.html", BAD)
    assert run("page.html", "--baseline", "known.json").code == 2
    done = run("page.html", "--baseline", "known.json", "--update-baseline")
    assert done.code == 0
    assert "known.json now lists 1 known findings" in done.err
    done = run("page.html", "--baseline", "known.json")
    assert done.code == 0
    assert "1 finding known from the baseline" in done.out
    write("page.html", CLEAN)
    assert "1 entry of the baseline not found again" in run(".", "--baseline", "known.json").out
    assert run(".", "--baseline", "known.json", "--update-baseline").code == 0
    assert json.loads(Path("known.json").read_text())["findings"] == []


def test_update_needs_to_know_which_baseline(run) -> None:
    write("page.html", BAD)
    assert "--baseline FILE" in run("page.html", "--update-baseline").err


def test_nothing_is_fetched_unless_it_is_allowed(run) -> None:
    assert "--fetch" in run("https://example.org/").err
    done = run("http://127.0.0.1:9/", "--fetch", "--json")
    assert "which is not public" in json.loads(done.out)["errors"][0]["message"]
    done = run("http://127.0.0.1:9/", "--fetch", "--allow-private", "--json")
    assert "refused" in json.loads(done.out)["errors"][0]["message"]
    assert "add --fetch" in run(".", "--allow-private").err


def test_report_says_how_to_compare_image_and_text(run) -> None:
    write("page.html", CLEAN)
    assert "--checkpoint openai/clip-vit-base-patch32" in run("page.html").out
    assert "--checkpoint" in run("page.html", "--checkpoint", "mini").out
