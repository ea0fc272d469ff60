// The tab's title says how many jobs are at work and what has just ended; the browser says it, too, if it may.
const ACTIVE = "iisan active jobs";
const SIGNS = { finished: "✓", failed: "✗", stopped: "■", interrupted: "■" };
const title = (window.iisanTitle ??= { before: "", news: "", watched: false });

function bare() {
  return document.title.startsWith(title.before) ? document.title.slice(title.before.length) : document.title;
}

function name(running) {
  const own = bare();
  title.before = title.news ? `${title.news} · ` : running;
  if (document.title !== title.before + own) document.title = title.before + own;
}

function watch() {
  if (title.watched) return;
  title.watched = true;
  title.running = "";
  new MutationObserver(() => {
    if (!document.title.startsWith(title.before)) {
      title.before = "";
      name(title.running);
    }
  }).observe(document.querySelector("title"), { childList: true, characterData: true, subtree: true });
  const seen = () => {
    if (document.hidden || !title.news) return;
    title.news = "";
    name(title.running);
  };
  document.addEventListener("visibilitychange", seen);
  window.addEventListener("pointerdown", seen);
}

function tell(job) {
  title.news = `${SIGNS[job.state] || "■"} ${job.said} ${job.state}`;
  if (document.hidden && window.Notification && Notification.permission === "granted")
    new Notification(`${job.said} ${job.state}`, { tag: job.id });
}

function ask(button) {
  const may = () => (button.hidden = !window.Notification || Notification.permission !== "default");
  button.textContent = "Let the browser tell me when something ends";
  button.onclick = () => Notification.requestPermission().then(may);
  may();
}

export default function (component) {
  const { data, parentElement } = component;
  if (data.ask) return ask(parentElement.querySelector(".ask"));
  watch();
  const before = JSON.parse(sessionStorage.getItem(ACTIVE) || "[]");
  data.ended.filter((job) => before.includes(job.id)).forEach(tell);
  sessionStorage.setItem(ACTIVE, JSON.stringify(data.active));
  const share = data.share === null ? "" : `, ${data.share} %`;
  title.running = data.active.length ? `(${data.active.length} at work${share}) ` : "";
  name(title.running);
}
