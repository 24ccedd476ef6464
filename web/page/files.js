// Reading the files of an exported game: fetched from the page's folder or, in a single-file page, from elements in it.

/** An error with a message for the player: what, where, and the remedy. */
export class PageError extends Error {}

const COPY_AGAIN = "Copy the exported folder again, whole, or export it again.";

/**
 * Read a file.
 *
 * @param {string} name its address, relative to the page.
 * @param {object} [expected]
 * @param {number} [expected.bytes] its size, if known.
 * @param {string} [expected.type] the type of the blob.
 * @param {(bytes: number) => void} [onProgress] gets the number of bytes read since its last call.
 * @returns {Promise<Blob>}
 * @throws {PageError} it is missing, cut short, or of another size.
 */
export async function readFile(name, { bytes, type = "" } = {}, onProgress = () => {}) {
  const counting = new TransformStream({
    transform(chunk, controller) {
      onProgress(chunk.length);
      controller.enqueue(chunk);
    },
  });
  const stream = await open(name);
  let contents;
  try {
    contents = await new Response(stream.pipeThrough(counting)).blob();
  } catch (error) {
    throw new PageError(`${name} was cut short. ${COPY_AGAIN}`, { cause: error });
  }
  if (bytes !== undefined && contents.size !== bytes) {
    throw new PageError(`${name} has ${contents.size} bytes where ${bytes} were exported. ${COPY_AGAIN}`);
  }
  return contents.slice(0, contents.size, type);
}

/**
 * Let the browser verify the hash of a blob, and return an address of the blob.
 *
 * @param {string} name the file's name, for errors.
 * @param {Blob} blob
 * @param {string} integrity the hash, such as `sha384-…`.
 * @returns {Promise<string>}
 * @throws {PageError} it is not the pinned file.
 */
export async function verifiedAddress(name, blob, integrity) {
  const address = URL.createObjectURL(blob);
  try {
    await fetch(address, { integrity });
  } catch (error) {
    throw new PageError(`${name} is not the file that was pinned, and is not run. ${COPY_AGAIN}`, { cause: error });
  }
  return address;
}

/** Whether the page is a single file, which holds all others. */
export function isSingleFile() {
  return document.querySelector("script[data-file]") !== null;
}

async function open(name) {
  const inlined = document.querySelector(`script[data-file="${name}"]`);
  if (inlined) {
    const compressed = Uint8Array.from(atob(inlined.textContent), (character) => character.charCodeAt(0));
    return new Blob([compressed]).stream().pipeThrough(new DecompressionStream("gzip"));
  }
  let response;
  try {
    response = await fetch(name);
  } catch (error) {
    throw new PageError(`${name} cannot be fetched. Check the connection, then reload the page.`, { cause: error });
  }
  if (!response.ok) {
    throw new PageError(`${name} is missing (the server says ${response.status}). ${COPY_AGAIN}`);
  }
  return response.body;
}
