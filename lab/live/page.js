// Connects the view of live.js to the program by a WebSocket, and tries again every 2 seconds when it is lost.
import { mount } from "./live.js";

const AGAIN = 2000; // milliseconds
const TITLE = document.title;
let socket = null;

const send = (message) => {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
};
const view = mount(document.getElementById("root"), send, true);

function connect() {
  const address = new URL(`socket${location.search}`, location.href); // the query holds the token
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  address.hash = "";
  socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    document.title = TITLE;
    view.opened();
  };
  socket.onmessage = ({ data }) => {
    if (typeof data !== "string") return view.frame(data);
    try {
      view.text(JSON.parse(data));
    } catch (error) {
      console.warn("a message of the program is no JSON:", error.message);
    }
  };
  socket.onclose = () => {
    document.title = "the program has stopped";
    view.closed();
    setTimeout(connect, AGAIN);
  };
}

connect();
