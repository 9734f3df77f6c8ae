// The live panel: says when this device is logged out, and keeps the list of devices as it is.
"use strict";

const LOGGED_OUT = 4401;
const panel = document.querySelector("#live");

function show(state, text) {
  panel.dataset.state = state;
  panel.querySelector("#live-text").textContent = text;
  panel.querySelector("a").hidden = state !== "ended";
}

async function renew() {
  const answer = await fetch("/", { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const list = page.querySelector("#devices");
  if (list) document.querySelector("#devices").replaceWith(list);
}

function connect() {
  const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/live`);
  socket.onopen = () => show("live", "Live: this page hears at once when a device is logged in or out.");
  socket.onmessage = () => renew().catch(() => {});
  socket.onclose = (event) => {
    if (event.code === LOGGED_OUT) {
      document.querySelector("#devices").inert = true;
      show("ended", "This device was logged out.");
    } else {
      show("waiting", "The connection is lost. Trying again…");
      setTimeout(connect, 2000);
    }
  };
}

show("waiting", "Connecting…");
connect();
