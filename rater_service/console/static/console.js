// What needs a script: the running hour is read anew, times can be had in the reader's own zone, filters fold away.
"use strict";

for (const time of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(time.dateTime);
  // A second reading only: windows, days and sums are those of UTC.
  if (!Number.isNaN(moment.valueOf())) time.title = moment.toLocaleString(undefined, { timeZoneName: "short" });
}

// On a small screen the filters would be all that is seen.
if (matchMedia("(max-width: 40rem)").matches) {
  for (const filters of document.querySelectorAll("details.window")) filters.open = false;
}

const live = document.getElementById("live");
if (live) {
  const status = live.querySelector("[role=status]");
  const button = document.createElement("button");
  let paused = false;
  button.type = "button";
  button.textContent = "Pause";
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
  });
  live.append(button);

  const renew = async () => {
    const old = document.getElementById("fragment");
    // Whoever is in the table must not be thrown out of it.
    if (paused || document.hidden || old.contains(document.activeElement)) return;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      old.replaceWith(document.adoptNode(page.getElementById("fragment")));
      status.textContent = `Updated ${new Date().toISOString().slice(11, 19)}Z.`;
    } catch {
      status.textContent = "Not updated: the console does not answer.";
    }
  };
  setInterval(renew, Number(live.dataset.every) * 1000);
  status.textContent = "Updated every 10 seconds.";
}
