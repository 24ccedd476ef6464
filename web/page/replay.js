// Games as text for an address: where one started, and the actions since.
//
// The text is base64url of the version (a byte) and of numbers with seven bits a byte, the lowest first, of which all
// but the last byte have bit 7 set: the starting frame, the seed of the noise, then for each run of equal steps
// 2 * action + (1 with noise) and their number.

const VERSION = 1;

/** Limits on what is written and read. */
const MAX_CHARACTERS = 2000;
const MAX_STEPS = 10_000;
const MAX_NUMBER = 2 ** 32;

/** @typedef {{ start: number, seed: number, steps: { action: number, noise: boolean }[] }} Recording */

/** A recording that cannot be written or read; the message says why, to follow a colon. */
export class ReplayError extends Error {}

/**
 * Return a recording as text.
 *
 * @param {Recording} recording
 * @returns {string}
 * @throws {ReplayError} it is too long.
 */
export function encode({ start, seed, steps }) {
  if (steps.length > MAX_STEPS) throw new ReplayError(`it has ${steps.length} steps, and a link holds ${MAX_STEPS}`);
  const runs = [];
  for (const { action, noise } of steps) {
    const kind = 2 * action + Number(noise);
    if (runs.at(-1)?.kind === kind) runs.at(-1).length++;
    else runs.push({ kind, length: 1 });
  }
  const usedSeed = steps.some(({ noise }) => noise) ? seed : 0;
  const numbers = [start, usedSeed, ...runs.flatMap(({ kind, length }) => [kind, length])];
  const bytes = [VERSION, ...numbers.flatMap(bytesOf)];
  const text = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  if (text.length > MAX_CHARACTERS) throw new ReplayError("its actions change more often than a link holds");
  return text;
}

/**
 * Read a recording of a game.
 *
 * @param {string} text
 * @param {number} numStarts the number of the game's starting frames.
 * @param {number} numActions
 * @returns {Recording}
 * @throws {ReplayError} it is too long, damaged, of another version, or of another game.
 */
export function decode(text, numStarts, numActions) {
  if (text.length > MAX_CHARACTERS) {
    throw new ReplayError(`it has ${text.length} characters, and ${MAX_CHARACTERS} are the most`);
  }
  const [version, ...bytes] = bytesIn(text);
  if (version !== VERSION) throw new ReplayError(`it is of version ${version}, and this page of version ${VERSION}`);
  const [start, seed, ...runs] = numbersIn(bytes);
  if (seed === undefined || runs.length % 2) throw new ReplayError("it is damaged");
  if (start >= numStarts) throw new ReplayError(`it begins from frame ${start + 1}, and there are ${numStarts}`);
  const steps = [];
  for (let index = 0; index < runs.length; index += 2) {
    const [action, length] = [Math.floor(runs[index] / 2), runs[index + 1]];
    if (action >= numActions) throw new ReplayError(`it takes action ${action + 1}, and there are ${numActions}`);
    if (steps.length + length > MAX_STEPS) throw new ReplayError(`it has more than ${MAX_STEPS} steps`);
    for (let step = 0; step < length; step++) steps.push({ action, noise: runs[index] % 2 === 1 });
  }
  return { start, seed, steps };
}

function bytesOf(number) {
  const bytes = [];
  for (; number >= 128; number = Math.floor(number / 128)) bytes.push((number % 128) + 128);
  return [...bytes, number];
}

function numbersIn(bytes) {
  const numbers = [];
  let [number, place] = [0, 1];
  for (const byte of bytes) {
    number += (byte % 128) * place;
    place *= 128;
    if (number >= MAX_NUMBER || place > 128 * MAX_NUMBER) throw new ReplayError("it is damaged");
    if (byte < 128) {
      numbers.push(number);
      [number, place] = [0, 1];
    }
  }
  if (place > 1) throw new ReplayError("it is damaged");
  return numbers;
}

function bytesIn(text) {
  try {
    if (!/^[\w-]+$/.test(text)) throw new TypeError("other characters");
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    return Array.from(binary, (character) => character.charCodeAt(0));
  } catch (error) {
    throw new ReplayError("it is damaged", { cause: error });
  }
}
