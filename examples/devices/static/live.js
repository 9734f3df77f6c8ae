// The live panel: says when this device is logged out, and keeps the list of devices as it is.
"use strict";

const LOGGED_OUT = 4401;
const panel = document.querySelector("#live");

function show(state, text) {
  panel.dataset.state = state;
  panel.querySelector("#live-text").textContent = text;
  panel.querySelector("a").hidden = state !== "ended";
}

function end() {
  document.querySelector("#devices").inert = true;
  show("ended", "This device was logged out.");
}

// True while this device is logged in. The list alone: a whole page would take the messages that the next one is to show.
async function renew() {
  const answer = await fetch("/devices");
  if (answer.status === 401) return false;
  if (!answer.ok) throw new Error(answer.statusText);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelector("#devices").replaceWith(page.querySelector("#devices"));
  return true;
}

function connect() {
  const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/live`);
  socket.onopen = () => show("live", "Live: this page hears at once when a device is logged in or out.");
  socket.onmessage = () => renew().catch(() => {});
  socket.onclose = (event) => (event.code === LOGGED_OUT ? end() : wait());
}

function wait() {
  show("waiting", "The connection is lost. Trying again…");
  setTimeout(() => renew().then((isLoggedIn) => (isLoggedIn ? connect() : end()), wait), 2000);
}

show("waiting", "Connecting…");
connect();
