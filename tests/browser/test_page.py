"""The directive puts a module and its model into the page as they are written, or says why not."""

import json
import re

import pytest
from conftest import needs
from docutils.core import publish_doctree
from docutils.parsers.rst import directives

pytestmark = needs("sphinx")
MODULE = "export default { render: ({ el }) => (el.title = 1 < 2 && '&amp;') };"


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Read a page that holds the directive; return what it becomes."""
    from mchelpers.browser.page import Anywidget

    class Environment:
        def relfn2path(self, name):
            return name, str(tmp_path / name)

        def note_dependency(self, name):
            pass

    class Here(Anywidget):
        env = Environment()

    monkeypatch.setitem(directives._directives, "anywidget", Here)

    def build(module, model):
        (tmp_path / "some.mjs").write_text(module)
        text = f".. anywidget:: some.mjs\n\n   {model}\n"
        return publish_doctree(text, settings_overrides={"report_level": 5}).astext()

    return build


def test_module_and_model_stand_in_the_page_unchanged(built):
    html = built(MODULE, '{"assets": "../live/"}')
    code = re.search('class="module">(.*?)</script>', html, re.S)[1]
    model = re.search('class="model">(.*?)</script>', html, re.S)[1]
    assert html.startswith('<div class="anywidget some">')
    assert code == MODULE and json.loads(model) == {"assets": "../live/"}


@pytest.mark.parametrize(
    "module, model, words",
    [
        (MODULE, "{assets}", "the model of some.mjs is no JSON"),
        ("'</script>'", "{}", "some.mjs holds </script"),
    ],
)
def test_what_would_break_a_page_is_refused(built, module, model, words):
    assert words in built(module, model)
