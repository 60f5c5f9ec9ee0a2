// Connects the view of live.js to the program by a WebSocket, and looks for it every 2 seconds when it is gone.
import { mount } from "./live.js";

const WRONG_TOKEN = 4003; // the code with which the program closes the connection
const title = document.title;
let socket;
const view = mount(document.getElementById("root"), send, true);

function send(message) {
	if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function connect() {
	const address = new URL(`socket${location.search}`, location.href); // the query holds the token
	address.protocol = address.protocol.replace("http", "ws");
	socket = new WebSocket(address);
	socket.binaryType = "arraybuffer";
	socket.onopen = () => {
		document.title = title;
		view.opened();
	};
	socket.onmessage = ({ data }) => (typeof data === "string" ? view.text(JSON.parse(data)) : view.frame(data));
	socket.onclose = ({ code }) => {
		document.title = "the program has stopped";
		if (code === WRONG_TOKEN) {
			return view.closed("This address is of an earlier start: open the one that the program has printed.");
		}
		view.closed();
		setTimeout(connect, 2000);
	};
}

addEventListener("hashchange", () => location.reload()); // another link was opened in this tab

connect();
