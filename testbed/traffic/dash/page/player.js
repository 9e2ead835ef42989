// Plays the session's video with dash.js and tells the gateway, which serves this page, what happens.
//
// Every report carries the page's clock, so that the gateway can place its times on CLOCK_MONOTONIC. Reports keep their
// order: what has happened is queued, and goes with the next report, also with a synchronous question for a level.
"use strict";

const video = document.querySelector("video");
const queue = { chunks: [], events: [] };
let sending = Promise.resolve();
let answered = null;

function report(choose) {
  const body = { now_ms: performance.now(), answered, position_s: video.currentTime, choose, ...queue };
  queue.chunks = [];
  queue.events = [];
  return body;
}

async function post(body) {
  const now_ms = performance.now();
  await fetch("report", { method: "POST", body: JSON.stringify({ ...body, now_ms }) });
  answered = { now_ms, took_ms: performance.now() - now_ms };
}

function send() {
  if (!queue.chunks.length && !queue.events.length) return;
  const body = report(false);
  sending = sending.then(() => post(body)).catch(() => undefined);
}

function tell(kind, detail = "") {
  queue.events.push({ kind, at_ms: performance.now(), detail: String(detail).slice(0, 300) });
  send();
}

// The custom rule: dash.js asks once before each chunk and waits for the answer.
function LevelRule() {
  const SwitchRequest = dashjs.FactoryMaker.getClassFactoryByName("SwitchRequest");
  const context = this.context;
  return {
    getSwitchRequest(rules) {
      const answer = SwitchRequest(context).create();
      const request = new XMLHttpRequest();
      request.open("POST", "report", false);
      request.send(JSON.stringify(report(true)));
      const level = String(JSON.parse(request.responseText).level);
      const offered = rules.getAbrController()
        .getPossibleVoRepresentationsFilteredBySettings(rules.getMediaInfo(), true);
      answer.representation = offered.find(representation => representation.id === level) ?? null;
      answer.priority = SwitchRequest.PRIORITY.STRONG;
      return answer;
    },
  };
}
LevelRule.__dashjs_factory_name = "LevelRule";

function chunkLoaded({ request }) {
  if (request.type !== "MediaSegment") return;
  const [, level, chunk] = request.url.match(/\/chunk\/(\d+)\/(\d+)\.m4s/);
  // The browser's own times are finer than dash.js's, where they are there already.
  const entry = performance.getEntriesByType("resource").findLast(found =>
    found.name.includes(`/chunk/${level}/${chunk}.m4s`) && found.responseEnd > 0);
  const onPageClock = date => date.getTime() - performance.timeOrigin;
  const end = entry?.responseEnd ?? performance.now();
  queue.chunks.push({
    chunk: Number(chunk),
    level: Number(level),
    request_ms: entry?.requestStart || onPageClock(request.startDate),
    first_ms: entry?.responseStart || onPageClock(request.firstByteDate ?? request.endDate),
    last_ms: end,
    size_bytes: entry?.encodedBodySize || request.bytesLoaded || 0,
  });
  performance.clearResourceTimings();
}

function play(options) {
  const player = dashjs.MediaPlayer().create();
  const ours = !options.own_rules;
  const rules = {};
  for (const name of ["throughputRule", "bolaRule", "insufficientBufferRule", "switchHistoryRule", "droppedFramesRule",
    "abandonRequestsRule"]) rules[name] = { active: false };
  player.updateSettings({
    streaming: {
      // A fragment may take as long as an outage lasts; loads of a few milliseconds are loads.
      fragmentRequestTimeout: 600000,
      cacheLoadThresholds: { video: 0, audio: 0 },
      cacheInitSegments: true,
      lastBitrateCachingInfo: { enabled: false },
      lastMediaSettingsCachingInfo: { enabled: false },
      utcSynchronization: { enabled: false },
      retryAttempts: { MediaSegment: 2 },
      buffer: {
        fastSwitchEnabled: false,
        bufferTimeDefault: options.buffer_s,
        bufferTimeAtTopQuality: options.buffer_s,
        bufferTimeAtTopQualityLongForm: options.buffer_s,
      },
      cmcd: { enabled: true, sid: options.session_id, mode: "query", includeInRequests: ["segment"] },
      abr: {
        initialBitrate: { video: options.start_kbps },
        limitBitrateByPortal: false,
        ...(ours ? { rules } : {}),
      },
    },
  });
  if (ours) {
    const factory = dashjs.FactoryMaker.getClassFactory(LevelRule);
    player.addABRCustomRule("qualitySwitchRules", "LevelRule", factory);
  }
  player.on("fragmentLoadingCompleted", event => {
    if (event.error) return;
    chunkLoaded(event);
    // Our rule takes the report along with its question; the last chunk has no question after it.
    if (!ours || queue.chunks.at(-1)?.chunk === options.chunks - 1) send();
  });
  player.on("error", ({ error }) => tell(error.code >= 25 && error.code <= 28 ? "server-gone" : "error",
    `${error.code} ${error.message}`));
  for (const kind of ["playing", "waiting", "ended"]) video.addEventListener(kind, () => tell(kind));
  player.initialize(video, options.manifest, true);
}

window.addEventListener("error", event => tell("error", event.message));

(async () => {
  // A few reports beforehand tell the gateway how the clocks relate.
  for (let count = 0; count < 20; count++) await post(report(false));
  tell("hello", video.canPlayType('video/mp4; codecs="avc1.42C00A"'));
  await sending;
  const answer = await fetch("go");
  if (answer.ok) play(await answer.json());
})();
