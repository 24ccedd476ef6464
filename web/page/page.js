// The page: loads a game, shows it, and reports its state.

import { Command, arrowsOf, listen } from "./controls.js";
import { PageError, readFile } from "./files.js";
import { Game } from "./game.js";
import { Model } from "./model.js";
import { Player, REPEAT, WAIT } from "./player.js";
import { Recorder, download } from "./recorder.js";
import { backEndName, loadRuntime, possibleBackEnds, runtimeBytes } from "./runtime.js";
import { Screen } from "./screen.js";

const FORMAT_VERSION = 1;

/** Names of actions that do nothing; a game takes such an action while nothing is pressed. */
const STANDING_STILL = ["stay", "none", "noop", "idle", "wait"];

const READOUT_MILLISECONDS = 250;

const element = (id) => document.getElementById(id);

/** Resolves to the player and the screen once everything is loaded. */
export const ready = start();
ready.catch(showFailure);

async function start() {
  const description = await readDescription();
  showTitle(description.name);
  const { model, backEnd, starts, failure } = await load(description);

  const player = new Player(new Game(model, starts), description.frame_rate, idleAction(description.actions));
  const canvas = element("screen");
  const screen = new Screen(canvas, element("stage"), description.width, description.height);
  const recorder = new Recorder(canvas);
  connect(description, player, recorder);

  screen.show(player.game.frame);
  element("back-end").textContent = backEndName(backEnd);
  element("note").hidden = !failure;
  element("note").textContent = failure ? `The graphics processor is not used: ${failure.message}.` : "";
  element("loading").hidden = true;
  element("controls").inert = false;
  element("hint").hidden = false;
  announce(`${element("title").textContent} is ready. ${element("hint").textContent}`);
  run(player, screen, recorder);
  return { player, screen };
}

async function readDescription() {
  const file = await readFile("game.json");
  let description;
  try {
    description = JSON.parse(await file.text());
  } catch (error) {
    throw new PageError("game.json is damaged. Export the game again.", { cause: error });
  }
  if (description.format_version !== FORMAT_VERSION) {
    throw new PageError(
      `game.json is of format ${description.format_version}, this page of format ${FORMAT_VERSION}. ` +
        "Export again, so that both are of one version.",
    );
  }
  return description;
}

/** Load the model, the runtime and the frames, and show the progress. */
async function load(description) {
  const backEnds = await possibleBackEnds();
  const progress = new Progress(
    description.model.bytes + description.initial_state.bytes + runtimeBytes(description.runtime, backEnds[0]),
  );
  const read = async ({ file, bytes }) => (await readFile(file, { bytes }, progress.add)).arrayBuffer();
  const files = Promise.all([read(description.model), read(description.initial_state), readFrames(description)]);
  files.catch(() => {}); // reported below, even if the runtime fails first
  let failure;
  for (const backEnd of backEnds) {
    try {
      const ort = await loadRuntime(description.runtime, backEnd, progress.add);
      const [onnx, initialState, [firstFrame, ...starts]] = await files;
      const model = await Model.create(description, ort, backEnd, onnx, initialState);
      await model.verify(starts[0], firstFrame);
      return { model, backEnd, starts, failure };
    } catch (error) {
      if (error instanceof PageError) throw error;
      failure = error;
    }
  }
  throw new PageError(
    `This browser cannot run the model: ${failure.message}. Use a current version of Chrome, Edge, Firefox or Safari.`,
    { cause: failure },
  );
}

/** Read the expected frame after the first step, and the starting frames. */
async function readFrames({ first_frame: firstFrame, starts, width, height }) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const frames = [];
  for (const name of [firstFrame, ...starts]) {
    const file = await readFile(name, { type: "image/png" });
    try {
      context.drawImage(await createImageBitmap(file, { colorSpaceConversion: "none" }), 0, 0);
    } catch (error) {
      throw new PageError(`${name} is damaged. Copy the exported folder again, whole.`, { cause: error });
    }
    frames.push(context.getImageData(0, 0, width, height));
  }
  return frames;
}

/** The progress of loading, shown in the page. */
class Progress {
  #loaded = 0;

  constructor(total) {
    this.total = total;
  }

  add = (bytes) => {
    this.#loaded += bytes;
    element("progress").value = Math.min(this.#loaded / this.total, 1);
    element("loaded").textContent = `Loading ${megabytes(this.#loaded)} of ${megabytes(this.total)} MB`;
  };
}

/** Connect keys, buttons and settings to the player. */
function connect(description, player, recorder) {
  element("noise").hidden = !description.uses_variations;
  element("record").hidden = !recorder.isPossible;
  const commands = commandsOf(description, player, recorder).filter(({ button }) => !button.hidden);
  listen(player, description.actions, element("actions"), element("rewind"), commands);
  connectSpeed(player);
  connectIdle(player, description.actions);
  explain(description.actions, commands);
}

function commandsOf(description, player, recorder) {
  return [
    new Command("Digit0", "new-start", "begin from another starting frame", () => {
      player.startAnew();
      announce("New start");
    }),
    new Command("KeyR", "reset", "begin again from the same one", () => {
      player.reset();
      announce("Reset");
    }),
    new Command("Space", "pause", "let real time stand still", () => {
      player.togglePause();
      showSwitch("pause", player.isPaused, player.isPaused ? "Paused" : "Going on");
    }),
    new Command("KeyT", "real-time", "real time, or step by step", () => {
      player.toggleRealTime();
      element("pause").disabled = !player.realTime;
      showSwitch("pause", player.isPaused);
      showSwitch("real-time", player.realTime, player.realTime ? "Real time" : "Step by step");
    }),
    new Command("KeyN", "noise", "noise in what actions do", () => {
      player.noise = !player.noise;
      showSwitch("noise", player.noise, player.noise ? "Noise on" : "Noise off");
    }),
    new Command("KeyV", "record", "record a video, and save it", () => toggleRecording(recorder, description.name)),
    new Command("KeyH", "show-help", "this help", () => element("help").showModal()),
  ];
}

async function toggleRecording(recorder, name) {
  if (recorder.isRecording) {
    showSwitch("record", false, "Recording saved");
    download(await recorder.stop(), `${name}.${recorder.extension}`);
  } else {
    recorder.start();
    showSwitch("record", true, "Recording");
  }
}

/** Show a button as on or off, and announce the change. */
function showSwitch(id, isOn, news = "") {
  element(id).setAttribute("aria-pressed", isOn);
  announce(news);
}

function connectSpeed(player) {
  const [slider, shown] = [element("speed"), element("speed-shown")];
  const show = () => (shown.textContent = `${player.pace.framesPerSecond} frames/s`);
  slider.value = player.pace.framesPerSecond;
  slider.addEventListener("input", () => {
    player.pace.framesPerSecond = Number(slider.value);
    show();
  });
  slider.addEventListener("pointerup", () => slider.blur());
  show();
}

function connectIdle(player, actions) {
  const choices = [[WAIT, "time waits"], [REPEAT, "the last action goes on"], ...actions.entries()];
  const select = element("idle");
  select.append(...choices.map(([value, name]) => new Option(name, value)));
  select.value = player.idle;
  select.addEventListener("change", () => {
    player.idle = choices[select.selectedIndex][0];
    select.blur();
  });
}

/** Fill in the hint and the help. */
function explain(actions, commands) {
  const keys = actions.length > 1 ? `1 to ${Math.min(actions.length, 9)}` : "1";
  const arrows = arrowsOf(actions);
  element("hint").textContent = matchMedia("(pointer: coarse)").matches
    ? "Hold a button to play"
    : `Hold a key, ${keys}, or a button to play`;
  const rows = [
    [keys, "take an action; hold to go on"],
    ...(arrows ? [[arrows, "the actions of these names"]] : []),
    ["⌫", "take the last step back; hold to go on"],
    ...commands.map(({ key, meaning }) => [key, meaning]),
  ];
  for (const [key, meaning] of rows) {
    const [term, definition] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = key;
    definition.textContent = meaning;
    element("keys").append(term, definition);
  }
}

/** Return what a game takes while nothing is pressed: an action that does nothing, if there is one, else `WAIT`. */
function idleAction(actions) {
  const still = actions.findIndex((name) => STANDING_STILL.includes(name.toLowerCase()));
  return still < 0 ? WAIT : still;
}

/** Play: advance the player with each refresh of the display. */
function run(player, screen, recorder) {
  let readoutDue = 0;
  const advance = async (now) => {
    try {
      if (await player.advance(now)) {
        screen.show(player.game.frame);
        recorder.add();
      }
    } catch (error) {
      showFailure(error);
      return;
    }
    showAction(player.lastAction);
    element("frame").textContent = player.game.numSteps;
    if (now >= readoutDue) {
      showReadout(player);
      readoutDue = now + READOUT_MILLISECONDS;
    }
    requestAnimationFrame(advance);
  };
  requestAnimationFrame(advance);
}

function showAction(action) {
  if (action !== null) element("hint").hidden = true;
  for (const button of element("actions").children) {
    button.classList.toggle("taken", Number(button.dataset.action) === action);
  }
}

function showReadout({ game, pace }) {
  element("rate").textContent = Number.isFinite(pace.rate) ? pace.rate.toFixed(1) : "–";
  element("step-time").textContent = game.numSteps ? `${game.stepMilliseconds.toFixed(1)} ms` : "–";
}

function showTitle(name) {
  const words = name.replace(/^\d+_/, "").replaceAll("_", " ");
  document.title = element("title").textContent = words[0].toUpperCase() + words.slice(1);
}

function showFailure(error) {
  console.error(error);
  element("loading").hidden = true;
  element("hint").hidden = true;
  element("controls").inert = true;
  element("reason").textContent =
    error instanceof PageError
      ? error.message
      : `${error.message}. Reload the page; if it happens again, add ?backend=wasm to its address.`;
  element("failure").hidden = false;
}

/** Announce news to screen readers. */
function announce(news) {
  if (news) element("news").textContent = news;
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}
