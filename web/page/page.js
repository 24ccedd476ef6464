// The page: loads a game, shows it, and reports its state.

import { Command, Hold, actionControls, arrowsOf, listen, showKeys } from "./controls.js";
import { PageError } from "./files.js";
import { Game } from "./game.js";
import { Gamepads } from "./gamepads.js";
import { chosenGame, fragment, megabytes, titleOf } from "./games.js";
import { isolate } from "./isolation.js";
import { Keys } from "./keys.js";
import { load } from "./loading.js";
import { Player, REPEAT, WAIT } from "./player.js";
import { Recorder, download } from "./recorder.js";
import { offerKeys } from "./remapping.js";
import { ReplayError, decode, encode } from "./replay.js";
import { backEndName } from "./runtime.js";
import { Screen } from "./screen.js";

/** Names of actions that do nothing; a game takes such an action while nothing is pressed. */
const STANDING_STILL = ["stay", "none", "noop", "idle", "wait"];

const READOUT_MILLISECONDS = 250;

/** How long news stay on the page. */
const NEWS_MILLISECONDS = 6000;

const element = (id) => document.getElementById(id);

/** Resolves to the player and the screen once everything is loaded: never, while a game is to be chosen. */
export const ready = start();
ready.catch(showFailure);
addEventListener("hashchange", () => location.reload());

async function start() {
  if (await isolate()) return forever();
  const chosen = await chosenGame(element("games"));
  if (!chosen) {
    document.body.classList.add("choosing");
    return forever();
  }
  const { description, isOneOfSeveral } = chosen;
  document.title = element("title").textContent = titleOf(description.name);
  element("all-games").hidden = !isOneOfSeveral;
  const { model, backEnd, starts, failure } = await load(description, showProgress);

  const player = new Player(new Game(model, starts), description.frame_rate, idleAction(description.actions));
  const canvas = element("screen");
  const screen = new Screen(canvas, element("stage"), description.width, description.height);
  const recorder = new Recorder(canvas);
  const gamepads = connect(description, player, recorder);

  screen.show(player.game.frame);
  element("back-end").textContent = backEndName(backEnd);
  element("note").hidden = !failure;
  element("note").textContent = failure ? `The graphics processor is not used: ${failure.message}.` : "";
  element("loading").hidden = true;
  element("controls").inert = false;
  element("hint").hidden = false;
  announce(`${element("title").textContent} is ready. ${element("hint").textContent}`);
  replayFromAddress(description, player);
  run(player, screen, recorder, gamepads);
  return { player, screen };
}

function forever() {
  return new Promise(() => {});
}

function showProgress(loaded, total) {
  element("progress").value = Math.min(loaded / total, 1);
  element("loaded").textContent = `Loading ${megabytes(loaded)} of ${megabytes(total)} MB`;
}

/** Replay what the address holds, if it does: `#game=…&replay=…`. */
function replayFromAddress({ name, actions }, player) {
  const [game, text] = [fragment().get("game"), fragment().get("replay")];
  if (text === null) return;
  try {
    if (game !== null && game !== name) throw new ReplayError("it is of another game");
    player.replay(decode(text, player.game.starts.length, actions.length));
  } catch (error) {
    if (!(error instanceof ReplayError)) throw error;
    tell(`The link cannot be replayed: ${error.message}.`);
  }
}

/** Copy a link that replays the game so far; without a clipboard it is put into the address. */
async function copyLink({ name }, player) {
  try {
    const link = new URL(location);
    link.hash = new URLSearchParams({ game: name, replay: encode(player.game.recording) });
    try {
      await navigator.clipboard.writeText(link);
      tell("Link copied: it replays the game so far");
    } catch {
      history.replaceState(null, "", link);
      tell("The link is in the address: it replays the game so far");
    }
  } catch (error) {
    if (!(error instanceof ReplayError)) throw error;
    tell(`No link can replay this game: ${error.message}.`);
  }
}

/** Connect keys, buttons and settings to the player. @returns {Gamepads} */
function connect(description, player, recorder) {
  const { name, actions } = description;
  element("noise").hidden = !description.uses_variations;
  element("record").hidden = !recorder.isPossible;
  const ways = actionControls(player, actions, element("actions"));
  const commands = commandsOf(description, player, recorder).filter(({ button }) => !button.hidden);
  const controls = [...ways, ...commands];
  const keys = new Keys(name, new Map(controls.map(({ id, usualKey }) => [id, usualKey])));
  const show = () => {
    showKeys(controls, keys);
    explain(actions, ways, commands, keys);
  };
  listen(player, actions, controls, keys);
  offerKeys(keys, controls, element("own-keys"), element("usual-keys"), show);
  show();
  connectSpeed(player);
  connectIdle(player, actions);
  return new Gamepads(player, actions, () => element("pause").click());
}

function commandsOf(description, player, recorder) {
  const back = "take the last step back; hold to go on";
  return [
    new Hold("rewind", element("rewind"), "Backspace", back, (source) => player.pressRewind(source), player),
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
    new Command("KeyL", "copy-link", "copy a link that replays the game so far", () => copyLink(description, player)),
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
function explain(actions, ways, commands, keys) {
  const labels = ways.map(({ id }) => keys.of(id).label).filter(Boolean);
  const isUsual = ways.length > 1 && !ways.some(({ id }) => keys.isChosen(id));
  const shown = isUsual ? `1 to ${labels.length}` : labels.join(" ");
  const arrows = arrowsOf(actions);
  element("hint").textContent = matchMedia("(pointer: coarse)").matches
    ? "Hold a button to play"
    : `Hold a key, ${shown}, or a button to play`;
  const rows = [
    [shown, "take an action; hold to go on"],
    ...(arrows ? [[arrows, "the actions of these names"]] : []),
    ...commands.map(({ id, meaning }) => [keys.of(id).label, meaning]),
  ];
  const entries = rows.flatMap(([key, meaning]) => {
    const [term, definition] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = key;
    definition.textContent = meaning;
    return [term, definition];
  });
  element("keys").replaceChildren(...entries);
}

/** Return what a game takes while nothing is pressed: an action that does nothing, if there is one, else `WAIT`. */
function idleAction(actions) {
  const still = actions.findIndex((name) => STANDING_STILL.includes(name.toLowerCase()));
  return still < 0 ? WAIT : still;
}

/** Play: advance the player with each refresh of the display. */
function run(player, screen, recorder, gamepads) {
  let readoutDue = 0;
  const advance = async (now) => {
    try {
      gamepads.poll();
      if (await player.advance(now)) {
        screen.show(player.game.frame);
        recorder.add();
      }
    } catch (error) {
      showFailure(error);
      return;
    }
    showAction(player.lastAction);
    showReplay(player.numToReplay);
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

function showReplay(numSteps) {
  element("replaying").hidden = numSteps === 0;
  element("replaying").textContent = `Replay of a link: ${numSteps} steps to go. Take an action to take over.`;
}

function showReadout({ game, pace }) {
  element("rate").textContent = Number.isFinite(pace.rate) ? pace.rate.toFixed(1) : "–";
  element("step-time").textContent = game.numSteps ? `${game.stepMilliseconds.toFixed(1)} ms` : "–";
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

/** Show news for a few seconds, and announce them. */
function tell(news) {
  element("told").textContent = news;
  announce(news);
  setTimeout(() => {
    if (element("told").textContent === news) element("told").textContent = "";
  }, NEWS_MILLISECONDS);
}

/** Announce news to screen readers. */
function announce(news) {
  if (news) element("news").textContent = news;
}
