"use strict";
// The server writes every section, and escapes what is in it; here it is only put in its place.
const live = document.getElementById("live");

// How long ago something was says more than when; when it was is told to those who point at it.
function tellAges() {
  for (const time of document.querySelectorAll("time")) {
    const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time.dateTime)) / 1000));
    const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    const [size, unit] = units.find(([size]) => seconds >= size) || [1, "s"];
    if (!time.title) time.title = time.textContent;
    time.textContent = `${Math.floor(seconds / size)} ${unit} ago`;
  }
}

// Relative, so that it is found behind a proxy too.
const source = new EventSource("v1/events" + location.search);
source.onopen = () => {
  live.textContent = "Live: changes are shown as they happen.";
  live.className = "";
};
source.onerror = () => {
  const isOver = source.readyState === EventSource.CLOSED;
  live.textContent = isOver ? "Not live: load this page again to see how it is now." : "Not live: trying again.";
  live.className = "lost";
};
for (const section of document.querySelectorAll("[data-live]")) {
  source.addEventListener(section.dataset.live, (event) => {
    section.innerHTML = event.data;
    tellAges();
  });
}
setInterval(tellAges, 5000);
tellAges();
