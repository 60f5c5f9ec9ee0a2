"""The view of the live page without its program: what live.js makes of frames that are built here, in a browser."""

import base64
import json
import os
import re

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from PIL import Image

from lab import player
from lab.live import controls, engine, widget

SETTINGS = {"target": "norm", "distribution": "norm", "average": 0.999, "loss": "minimax", "latent": "uniform"}
MEASURE = {"name": "value", "label": "value", "charts": "value", "log": False, "floor": -2 * np.log(2), "top": None}
MOUNT = """(async () => {
    const view = await import("data:text/javascript;base64,LIVE");
    window.texts = new Map(); // what is written on canvases, and the place x where it begins
    const { prototype } = CanvasRenderingContext2D, { fillText } = prototype;
    prototype.fillText = function (...words) {
        if (this.canvas.isConnected) texts.set(words[0], words[1]); // a view that was taken away may paint once more
        fillText.apply(this, words);
    };
    window.start = (link) => {
        history.replaceState(null, "", location.pathname + "#" + link);
        const mine = (window.sent = []);
        document.body.replaceChildren(document.createElement("div"));
        window.page = view.mount(document.body.firstChild, (message) => mine.push(message), true);
    };
    window.$ = (selector) => document.querySelector(selector);
    window.show = (bytes) => page.frame(Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)).buffer);
    window.press = (key, more) => !document.body.firstChild.dispatchEvent(
        new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more })); // whether it is taken
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser with the view's functions in an empty page."""
    if not CHROMIUM:
        (pytest.fail if os.environ.get("REQUIRE_CHROMIUM") else pytest.skip)("no chromium here")
    folder = tmp_path_factory.mktemp("view")
    (folder / "page.html").write_text("<!doctype html><title>view</title><body></body>")
    opened = Browser(folder / "profile")
    try:
        opened.open(f"file://{folder}/page.html")
        opened.until("document.title === 'view' && document.readyState === 'complete'")
        opened.value(MOUNT.replace("LIVE", base64.b64encode((widget.HERE / "live.js").read_bytes()).decode()))
        yield opened
        assert opened.errors == []
    finally:
        opened.close()


@pytest.fixture
def page(browser, tmp_path):
    """A function: a fresh view that the program has greeted, with these words behind the # of its address."""
    source, config = controls.new_source("norm", "classic", 2, 0, None, tmp_path)

    def begin(link=""):
        browser.value(f"start('{link}')")
        browser.value("texts.clear()")
        browser.greet = lambda: browser.value(f"page.text({json.dumps({'hello': controls.hello(source, config)})})")
        browser.greet()
        return browser

    return begin


def show(page, kind="line", arrays=None, **header):
    """Let the view paint a frame."""
    rng = np.random.default_rng(0)
    sizes = {"curve_steps": (2,), "curves": (2, 2, 4), "measure_steps": (2,), "measures": (2, 1, 4)}
    if kind == "line":
        sizes |= dict.fromkeys(("x", "p", "q", "logits", "optimal"), (300,))
        sizes |= {"fakes": (60,), "pushes": (60,), "thumbs": (2, 100), "thumb_p": (100,)}
    else:
        sizes |= {"logits": (40, 40), "real": (2, 50), "fakes": (2, 50), "pushes": (2, 20), "thumbs": (2, 2, 20)}
    values = {name: rng.random(shape) for name, shape in sizes.items()} | (arrays or {})
    whole = {"kind": kind, "step": 7, "steps": None, "playing": False, "seed": 0, "seeds": 2, "first_seed": 0}
    whole |= {"rate": 0.0, "speed": "fast", "view": [0.0, 1.0] if kind == "line" else [0.0, 0.0, 1.0]}
    whole |= {"target": "norm", "own": ["drawing"], "estimated": False, "logistic": True, "notice": ""}
    whole |= {"busy": "", "settings": SETTINGS, "changes": 0, "turns": [7, 7], "measures": [MEASURE], "stage": None}
    frame = base64.b64encode(engine.packed(whole | header, values)).decode()
    page.value(f"show('{frame}')")
    page.value("new Promise(requestAnimationFrame)")


def test_a_panel_that_is_built_again_leaves_the_user_the_field_and_its_unsent_text(page):
    view = page()
    show(view)
    view.value("$('[name=distribution]').focus(); $('[name=distribution]').select()")
    for letter in "beta 2":  # as from a keyboard: a handler may keep a key from the field
        view.key(letter, "", letter)
    view.greet()  # as after a change of the target
    focused = "document.activeElement.name + ': ' + document.activeElement.value"
    assert view.value(focused) == "distribution: beta 2"
    assert "set" not in view.value("sent.map((message) => message.do)")
    view.key("Enter", "Enter", "\r")
    assert view.value("sent.at(-1)") == {"do": "set", "name": "distribution", "value": "beta 2"}
    view.greet()  # of the change that this text makes
    assert view.value(focused) == "distribution: beta 2"
    view.value("$('[name=loss]').focus()")
    view.greet()
    assert view.value("document.activeElement.name") == "loss"


def test_a_chart_is_drawn_again_if_only_its_last_numbers_are_others(page):
    view = page()
    numbers = np.random.default_rng(1).random((2, 1, 4))
    show(view, arrays={"measures": numbers})
    view.until("$('.charts').children.length === 2", 20)
    before = view.value("$('.charts').lastChild.toDataURL()")
    numbers[1] += 0.2
    show(view, arrays={"measures": numbers})
    view.until(f"$('.charts').lastChild.toDataURL() !== {json.dumps(before)}", 5)


def test_a_link_holds_no_drawing_and_follows_the_seed_that_is_shown(page):
    view = page("target=norm&loss=hinge&seed=20")
    assert {"do": "seed", "value": 20} in view.value("sent")
    settings = SETTINGS | {"loss": "hinge"}
    show(view, seed=1, busy="Compiling", settings=settings)  # a game of more seeds is still being compiled
    show(view, seed=20, seeds=32, settings=settings)
    show(view, seed=20, seeds=32, settings=settings | {"target": "drawing"}, target="drawing")
    view.until("location.hash === '#loss=hinge&seed=20'", 5)
    show(view, seed=3, seeds=4, settings=settings | {"target": "drawing"}, target="drawing")
    view.until("location.hash === '#loss=hinge&seed=3'", 5)
    view.value("$('[name=target]').selectedIndex = 1; $('[name=target]').onchange()")
    view.until("location.hash === '#loss=hinge&seed=3&target=grid'", 5)


def test_d_gives_a_probability_only_if_the_loss_is_logistic(page):
    words = "['.layers .heat', '.bar'].map((each) => $(each).textContent) + '|' + $('.scene').ariaLabel"
    for logistic, in_plane, on_line in (
        (True, "D's probability,D says fake: 01: real|", "D(x): probability that x is real"),
        (False, "sigmoid of D's score,sigmoid of D's score: 01|", "sigmoid of D's score at x"),
    ):
        view = page()
        show(view, "plane", logistic=logistic)
        found = view.value(words)
        assert found.startswith(in_plane) and ("D's probability from" in found) == logistic
        show(view, logistic=logistic)
        assert on_line in view.value("[...texts.keys()]")


def test_words_on_the_pictures(page):
    view = page()
    show(view, estimated=True)
    texts = view.value("[...texts.keys()]")
    assert {"estimated density of real", "if D = \u00bd everywhere"} <= {*texts}
    assert not {"density of real", "ln 4", "\u2212ln 4"} & {*texts}
    assert view.value("[...$('.speeds').children].map((each) => each.textContent)") == [
        *("speed", "slow motion", "20 steps/s", "200 steps/s", "fast")
    ]


def test_words_beside_a_level_stand_where_no_curve_is(page):
    for crossed in (False, True):
        values = np.full((50, 1, 4), 1.0)
        values[:20] = MEASURE["floor"] + 0.15 if crossed else 1.0  # just above the level, at the left
        view = page()
        arrays = {"measure_steps": np.arange(50.0), "measures": values}
        show(view, arrays=arrays, settings=SETTINGS | {"loss": "hinge"})
        view.until(f"texts.get('if D = \u00bd everywhere') > 60 === {json.dumps(crossed)}", 5)


def test_a_control_is_explained_where_it_has_the_focus(page):
    view = page()
    assert view.value("$('[name=loss]').title") == controls.EXPLAINED["loss"]


def test_a_new_panel_is_not_filled_with_settings_of_the_other_script(page):
    units = "[...$('[name=generator_units]').options].map((option) => option.textContent)"
    before = (view := page()).value(units)
    show(view, "plane", arrays={"sheet": np.zeros((2, 31, 31))}, settings={"generator_units": 48})
    view.greet()
    assert view.value(units) == before and "48" not in before


def test_the_speed_is_that_of_every_seed(page):
    view = page()
    show(view, playing=True, rate=3000.0)
    view.until("$('.rate').textContent.includes('1,500 steps/s of 2 seeds')", 5)


def test_after_a_press_the_keys_act_on_the_page_and_not_on_the_control(page):
    view = page()
    show(view)
    place = (
        "(({ x, y, width, height }) => [x + width / 2, y + height / 2])($('[name=average]').getBoundingClientRect())"
    )
    view.value("$('[name=average]').scrollIntoView()")
    x, y = view.value(place)
    for kind in ("mousePressed", "mouseReleased"):
        view.mouse(kind, x, y)
    assert "average" in view.value("sent.map((message) => message.name)")
    assert view.value("document.activeElement === document.body")
    chosen = "$('[name=loss]').dispatchEvent(new Event('change', { bubbles: true }))"
    for event in ("PointerEvent('pointerdown'", "KeyboardEvent('keydown'"):
        view.value(
            f"$('[name=loss]').focus(); $('[name=loss]').dispatchEvent(new {event}, {{ bubbles: true }})); {chosen}"
        )
        assert (view.value("document.activeElement.name") == "loss") == event.startswith("Keyboard")
    view.value("scrollTo(0, 0)")


def test_what_the_page_said_itself_gives_way_to_what_the_program_says(page):
    view = page()
    show(view)
    refused, notice = "Draw a curve above the axis first.", "$('.notice').textContent"
    for action in ("$('.cancel').click()", "$('.save').click()", "$('.next').click()"):
        view.value("$('.draw').click(); $('.train').click()")
        assert view.value(notice) == refused
        view.value(action)
        show(view)
        assert view.value(notice) == ""
    view.value("page.text({ error: 'OSError: no picture' })")
    show(view)
    assert view.value(notice) == ""


def test_a_drawn_density_has_no_holes(page):
    view = page()
    show(view)
    view.value("$('.draw').click()")
    x, y = view.value("(({ x, y }) => [x + 60, y + 50])($('.scene').getBoundingClientRect())")
    view.mouse("mousePressed", x, y)
    for k in range(1, 13):  # each over more than one bin: without a style sheet the canvas is 300 pixels wide
        view.mouse("mouseMoved", x + 3 * k, y)
    view.mouse("mouseReleased", x + 36, y)
    view.value("$('.train').click()")
    drawn = np.ravel(view.value("sent.at(-1).points"))
    assert drawn.size == 4000 and np.diff(drawn).max() < 0.5 / 120  # of the view's width, which has 120 bins


def test_a_file_that_is_dropped_into_a_drawing_ends_it(page):
    view = page()
    show(view)
    view.value("$('.draw').click()")
    file = "new File(['1\\n2\\n3'], 'a.csv')"
    drop = f"{{ preventDefault() {{}}, dataTransfer: {{ files: [{file}] }} }}"
    view.value(f"document.body.firstChild.ondrop({drop})")
    view.until("sent.at(-1).do === 'points'", 5)
    assert view.value("$('.cancel').hidden && !$('.scene').classList.contains('drawing')")


def test_of_many_changes_of_a_saved_run_the_first_are_listed(page):
    view = page()
    for count, lines in ((3, 5), (400, 13)):
        saved = {"folder": "runs/a", "command": "python x", "changes": [{"step": k} for k in range(count)]}
        view.value(f"page.text({json.dumps({'saved': saved})})")
        assert view.value("document.querySelectorAll('.saved p').length") == lines
    assert view.value("document.querySelector('.saved').textContent").endswith("and 390 more in live.jsonClose")


def test_a_click_keeps_the_lattice_unfolded(page):
    view = page()
    show(view, "plane", arrays={"sheet": np.zeros((2, 31, 31))})
    point = "$('.unfold').dispatchEvent(new PointerEvent('pointer{}', {{ pointerType: 'mouse' }}))"
    view.value(point.format("enter"))
    assert view.value("$('.unfold').ariaPressed") == "false"
    view.value("$('.unfold').click()")
    assert view.value("$('.unfold').ariaPressed") == "true"
    view.value("$('.unfold').click()")
    assert view.value("$('.unfold').ariaPressed") == "false"


def test_a_slider_near_1_stays_where_it_is_put(page):
    view = page()
    show(view)
    view.value("$('[name=average]').value = 170; $('[name=average]').dispatchEvent(new Event('input'))")
    assert view.value("sent.find((message) => message.do === 'set').value") > 0.999
    for _ in range(2):
        show(view)  # made before the program has obeyed
    assert view.value("$('[name=average]').value") == "170"


def test_slow_motion_stops_at_the_end_of_training(page):
    view = page()
    show(view, speed="stages", step=5, steps=5)
    view.value("$('.play').click()")
    assert view.value("$('.play').textContent") == "Pause" and view.value("sent.at(-1).do") == "stage"
    show(view, speed="stages", step=5, steps=5)
    assert view.value("$('.play').textContent") == "Play"


def test_after_an_error_a_frame_is_asked_for_again(page):
    view = page()
    show(view)
    asked = "sent.filter((message) => message.do === 'frame').length"
    before = view.value(asked)
    at_once = f"(page.text({{ error: 'OSError: no picture' }}), {asked})"
    assert view.value(at_once) == before  # a second later, and not at once
    assert view.value("$('.notice').textContent") == "OSError: no picture"
    view.until(f"{asked} === {before + 1}", 5)


def test_a_space_that_repeats_does_not_scroll_the_page(page):
    view = page()
    show(view)
    view.value("document.activeElement.blur()")
    assert view.value("press(' ')") and view.value("press(' ', { repeat: true })")
    assert view.value("sent.filter((message) => message.do === 'play').length") == 1


def test_a_player_leaves_the_browser_its_own_keys(page, tmp_path):
    view = page()
    player.save_page(tmp_path / "training.html", [Image.new("RGB", (2, 2))] * 3, ["a", "b", "c"], 100)
    text = (tmp_path / "training.html").read_text()
    script, body = re.search("<script>(.*)</script>", text, re.DOTALL)[1], re.search("<img.*</p>", text, re.DOTALL)[0]
    view.value(f"document.body.innerHTML = {json.dumps(body)}; (() => {{ {script} }})()")
    for held in ("altKey", "ctrlKey", "metaKey"):
        assert not view.value(f"press('Home', {{ {held}: true }})")
    assert view.value("press('End')") and view.value("$('#slider').value") == "2"
    view.value("document.onkeydown = null")


def test_what_is_spoken_does_not_change_with_every_step(page):
    view = page()
    for step in (7, 8):
        show(view, step=step, playing=True)
        view.until("$('.spoken').textContent === 'norm, playing'", 5)


@pytest.mark.parametrize("name", ["live.css", "watch.css"])
def test_the_ring_around_what_has_the_focus_can_be_seen_on_white(name):
    css = (widget.HERE / name).read_text()
    colour = re.search(r":focus-visible[^{]*\{ outline: 3px solid ([^;]+);", css)[1]
    if variable := re.fullmatch(r"var\((--\w+)\)", colour):
        colour = re.search(rf"{variable[1]}: (#\w+)", css)[1]
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 3  # WCAG 2.1
