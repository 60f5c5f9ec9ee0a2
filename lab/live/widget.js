// The live view inside a notebook. widget.py puts these lines behind live.js, so that both are one module.

export default {
  render({ model, el }) {
    const root = document.createElement("div");
    root.tabIndex = -1; // its keys work once it has been clicked
    root.dataset.lmSuppressShortcuts = "true"; // or JupyterLab would obey them as well: there, d d deletes the cell
    el.append(root);
    let shown = true;
    root.addEventListener("focusin", ({ target }) => { // JupyterLab looks at this element before root
      target.dataset.lmSuppressShortcuts = "true";
    });
    const gone = () => view.closed("The kernel of this page has stopped or started again: run the cell again.");
    const send = (message) => {
      try {
        if (shown) model.send(message);
      } catch { // without a kernel
        gone();
      }
    };
    const view = mount(root, send);
    for (const kind of ["click", "change"]) { // after which the view may have given the focus away
      root.addEventListener(kind, () => {
        if (document.activeElement === document.body) root.focus({ preventScroll: true });
      });
    }
    const receive = (message, [frame]) => {
      if (!frame) return view.text(message);
      view.frame(frame.buffer.slice(frame.byteOffset, frame.byteOffset + frame.byteLength));
    };
    model.on("msg:custom", receive);
    model.on("comm_live_update", gone);
    send({ do: "hello" });
    return () => { // the cell ran again, or was deleted: nobody sees this game any more
      send({ do: "play", value: false });
      model.off("msg:custom", receive);
      model.off("comm_live_update", gone);
      view.removed();
      shown = false;
    };
  },
};
