// The games of a page, and which of them the address names: `#game=…`.

import { PageError, readFile } from "./files.js";
import { possibleBackEnds, runtimeBytes } from "./runtime.js";

const FORMAT_VERSION = 1;

/** What the address says after `#`, such as `game` and `replay`. */
export function fragment() {
  return new URLSearchParams(location.hash.slice(1));
}

/**
 * Return the description of the game to play: the only one, else the one that the address names.
 *
 * @param {HTMLElement} list where to show all games, if none is named.
 * @returns {Promise<{ description: object, isOneOfSeveral: boolean } | null>} null if games are shown to choose from.
 * @throws {PageError} a file is missing, damaged, or of another version.
 */
export async function chosenGame(list) {
  const description = await readDescription("game.json");
  if (!description.games) return { description, isOneOfSeveral: false };
  const wanted = fragment().get("game");
  const game = description.games.find(({ name }) => name === wanted);
  if (game) return { description: await readDescription(game.file), isOneOfSeveral: true };
  await showGames(description, list, wanted);
  return null;
}

/** Return a name as a title: "00_breakout_play" as "Breakout play". */
export function titleOf(name) {
  const words = name.replace(/^\d+_/, "").replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}

/** Return bytes as megabytes with one decimal. */
export function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}

async function readDescription(name) {
  const file = await readFile(name);
  let description;
  try {
    description = JSON.parse(await file.text());
  } catch (error) {
    throw new PageError(`${name} is damaged. Export the game again.`, { cause: error });
  }
  if (description.format_version !== FORMAT_VERSION) {
    throw new PageError(
      `${name} is of format ${description.format_version}, this page of format ${FORMAT_VERSION}. ` +
        "Export again, so that both are of one version.",
    );
  }
  return description;
}

async function showGames({ games, runtime }, list, wanted) {
  const [backEnd] = await possibleBackEnds();
  const size = megabytes(runtimeBytes(runtime, backEnd));
  const about = document.createElement("p");
  about.textContent =
    (wanted === null ? "" : `There is no game ${wanted.slice(0, 64)} here. `) +
    `Choose a game. The first one loads ${size} MB more, which all games share.`;
  const cards = await Promise.all(games.map(card));
  const items = document.createElement("ul");
  items.append(...cards);
  list.append(about, items);
}

/** A link to a game, with a starting frame, its name, its size and its actions. */
async function card({ name, bytes, actions, thumbnail }) {
  const [item, link, title, facts] = ["li", "a", "strong", "span"].map((tag) => document.createElement(tag));
  link.href = `#${new URLSearchParams({ game: name })}`;
  title.textContent = titleOf(name);
  const number = actions.length === 1 ? "1 action" : `${actions.length} actions`;
  facts.textContent = `${megabytes(bytes)} MB · ${number}: ${actions.join(", ")}`;
  link.append(await picture(thumbnail), title, facts);
  item.append(link);
  return item;
}

async function picture(name) {
  const canvas = document.createElement("canvas");
  try {
    const bitmap = await createImageBitmap(await readFile(name, { type: "image/png" }));
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
  } catch (error) {
    console.error(error); // the game says more, if it is chosen
  }
  return canvas;
}
