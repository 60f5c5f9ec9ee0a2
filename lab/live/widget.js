// The live view inside a notebook. widget.py puts these lines behind live.js, so that both are one module.

export default {
  render({ model, el }) {
    const root = document.createElement("div");
    root.tabIndex = -1; // its keys work once it has been clicked
    root.dataset.lmSuppressShortcuts = "true"; // or JupyterLab would obey them as well: there, d d deletes the cell
    el.append(root);
    let shown = true;
    const view = mount(root, (message) => shown && model.send(message));
    root.addEventListener("click", () => {
      if (document.activeElement === document.body) root.focus({ preventScroll: true });
    });
    const receive = (message, [frame]) => {
      if (!frame) return view.text(message);
      view.frame(frame.buffer.slice(frame.byteOffset, frame.byteOffset + frame.byteLength));
    };
    model.on("msg:custom", receive);
    model.send({ do: "hello" });
    return () => { // the cell ran again, or was deleted: nobody sees this game any more
      model.send({ do: "play", value: false });
      model.off("msg:custom", receive);
      shown = false;
    };
  },
};
