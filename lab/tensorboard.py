"""TensorBoard's view of a run: an event file beside log.jsonl, made of what stands in the run's folder.

    scalars          every number of log.jsonl, such as `to_real`; of a number over seeds `kl/median`, `kl/q10`,
                     `kl/q90`, `kl/failed`; at the end those of result.json, such as `result/kl/median`
    custom scalars   for every number over seeds a chart of the median with a band from the 10% to the 90% quantile
    images           `samples`, the sheets of images kept during training; at the end `figures/overview` and so on
    hparams          the settings, with the experiment and the recipe

A process that opens the run begins the file anew with all records that the run keeps. A resumed run therefore holds
no step twice, and a run that was trained without an event file can get one later.

The messages and the file format are those of the package tensorboard, which is imported when the first event is
written. TensorFlow's `tf.summary` needs that package as well, and numpy_gan.py needs no TensorFlow.
"""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

from lab import files, screen, storage
from lab.files import BadInput

BAND = ("median", "q10", "q90")


def require() -> None:
    """BadInput unless the package tensorboard is installed; it is not imported."""
    if not getattr(importlib.util.find_spec("tensorboard"), "origin", None):  # a folder of that name has no origin
        advice = "in this project's folder, pip install -e '.[tensorboard]' -c constraints.txt installs it"
        raise BadInput(f"--tensorboard: the package tensorboard is not installed; {advice}")


def numbers(values: dict[str, Any]) -> dict[str, float]:
    """The finite numbers of a record or a result by their tags: `generator_loss`, `kl/median`. Lists are left out."""
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= {f"{name}/{part}": number for part, number in numbers(value).items()}
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = value
    return found


class Events:
    """The event file of the run in a folder. It is closed after every record, so that a kill loses none."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._path: Path | None = None  # until `restart`
        self._start = 0.0  # seconds since 1970
        self._bands: list[str] = []  # numbers over seeds that have a chart

    def restart(self, records: list[dict[str, Any]]) -> None:
        """Begin the file anew, with the settings in config.json and with the records that the run keeps.

        The time of an event is this moment plus the seconds of training since then. The old records stand before it,
        so that TensorBoard's axis RELATIVE shows seconds of training, however often the run was stopped.
        """
        from tensorboard.compat.proto import event_pb2
        from tensorboard.plugins.hparams import plugin_data_pb2

        for path in self._folder.glob("events.out.tfevents.*.gan-laboratory"):
            path.unlink()
        self._start = time.time() - (_seconds(records[-1]) if records else 0.0)
        self._bands = []
        # A TensorBoard that is running looks for a new name, not for new content under the old one.
        self._path = self._folder / f"events.out.tfevents.{time.time_ns()}.gan-laboratory"
        forget = event_pb2.SessionLog(status=event_pb2.SessionLog.START)  # what it has read of the old file
        info = plugin_data_pb2.SessionStartInfo(start_time_secs=self._start)
        saved = storage.read_config(self._folder, "--tensorboard")
        for name, value in ({"experiment": saved.experiment, "recipe": saved.recipe} | saved.config).items():
            if isinstance(value, bool):
                info.hparams[name].bool_value = value
            elif isinstance(value, int | float):
                info.hparams[name].number_value = value
            elif value is not None:  # a list as on the command line
                info.hparams[name].string_value = " ".join(map(str, value)) if isinstance(value, list) else value
        self._append(
            event_pb2.Event(wall_time=self._start, file_version="brain.Event:2"),
            event_pb2.Event(wall_time=self._start, session_log=forget),
            self._event(0, 0.0, [_session("session_start_info", info)]),
            *map(self._of_record, records),
        )

    def record(self, record: dict[str, Any]) -> None:
        """Append the numbers of a line of log.jsonl, and the sheet of images of its step if there is one."""
        self._append(self._of_record(record))

    def finish(self, result: dict[str, Any]) -> None:
        """Append the numbers of result.json and the figures. Without training before, `restart` comes first."""
        from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

        if not self._path:
            self.restart(storage.read_log(self._folder))
        seconds = _seconds(result)
        settings = storage.read_config(self._folder, "--tensorboard").config
        final = {name: value for name, value in result.items() if name not in settings}  # those stand in hparams
        values = [_scalar(f"result/{tag}", number) for tag, number in numbers(final).items()]
        for path in sorted((self._folder / "figures").glob("*.png")):
            values += _image(f"figures/{path.stem}", path)
        end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=self._start + seconds)
        self._append(self._event(result["steps"], seconds, [*values, _session("session_end_info", end)]))

    def _of_record(self, record: dict[str, Any]) -> Any:
        values = [_scalar(tag, number) for tag, number in numbers(record).items() if tag != "step"]
        path = self._folder / storage.sheet(record["step"])
        if path.exists():
            values += _image("samples", path)
        bands = [name for name, value in record.items() if isinstance(value, dict) and {*BAND} <= {*value}]
        if {*bands} - {*self._bands}:  # the losses come with the second record
            self._bands = list(dict.fromkeys([*self._bands, *bands]))
            values.append(_layout(self._bands))
        return self._event(record["step"], _seconds(record), values)

    def _event(self, step: int, seconds: float, values: list[Any]) -> Any:
        from tensorboard.compat.proto import event_pb2, summary_pb2

        return event_pb2.Event(wall_time=self._start + seconds, step=step, summary=summary_pb2.Summary(value=values))

    def _append(self, *events: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        assert self._path
        with files.named(self._path), self._path.open("ab") as file:
            writer = RecordWriter(file)
            for event in events:
                writer.write(event.SerializeToString())


def _seconds(values: dict[str, Any]) -> float:
    """The seconds of training so far, in a record or a result; 0 if a damaged one does not say."""
    return numbers(values).get("train_seconds", 0.0)


def _scalar(tag: str, number: float) -> Any:
    from tensorboard.compat.proto import summary_pb2

    return summary_pb2.Summary.Value(tag=tag, simple_value=number)


def _image(tag: str, path: Path) -> list[Any]:
    """The PNG file as it is; without it, and with a line on the screen, if it is damaged."""
    from tensorboard.compat.proto import summary_pb2

    try:
        height, width, channels = files.png_shape(path)
        image = summary_pb2.Summary.Image(
            height=height, width=width, colorspace=channels, encoded_image_string=path.read_bytes()
        )
    except (OSError, ValueError) as error:
        screen.say(f"{path} is damaged ({files.why(error)}): left out of TensorBoard's images")
        return []
    return [summary_pb2.Summary.Value(tag=tag, image=image)]


def _layout(names: list[str]) -> Any:
    """A chart with a band for each of these numbers over seeds, on the page Custom Scalars."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.custom_scalar import layout_pb2, metadata
    from tensorboard.util import tensor_util

    charts = []
    for name in names:
        value, lower, upper = (f"{name}/{part}" for part in BAND)
        band = layout_pb2.MarginChartContent.Series(value=value, lower=lower, upper=upper)
        charts.append(layout_pb2.Chart(title=name, margin=layout_pb2.MarginChartContent(series=[band])))
    category = layout_pb2.Category(title="over seeds: median, 10% to 90%", chart=charts)
    return summary_pb2.Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG,
        metadata=metadata.create_summary_metadata(),
        tensor=tensor_util.make_tensor_proto(layout_pb2.Layout(category=[category]).SerializeToString()),
    )


def _session(name: str, info: Any) -> Any:
    """The start or the end of a training session, for the page HParams."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    content = plugin_data_pb2.HParamsPluginData(**{name: info})
    return summary_pb2.Summary.Value(
        tag=f"_hparams_/{name}", metadata=metadata.create_summary_metadata(content), tensor=metadata.NULL_TENSOR
    )
