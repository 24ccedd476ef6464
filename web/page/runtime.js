// What computes: onnxruntime-web on the GPU where the browser lets it, else as WebAssembly.

import { PageError, readFile, verifiedAddress } from "./files.js";

/** The files of onnxruntime-web that each back end needs. */
const BUILDS = {
  webgpu: { module: "ort.jspi.bundle.min.mjs", wasm: "ort-wasm-simd-threaded.jspi.wasm" },
  wasm: { module: "ort.wasm.bundle.min.mjs", wasm: "ort-wasm-simd-threaded.wasm" },
};

/**
 * The back ends that may work here, the best one first. `?backend=wasm` in the address leaves the GPU alone.
 *
 * @returns {Promise<("webgpu" | "wasm")[]>}
 * @throws {PageError} there is none.
 */
export async function possibleBackEnds() {
  if (!globalThis.WebAssembly) {
    throw new PageError("This browser has no WebAssembly, or it is switched off. Switch it on, or use another browser.");
  }
  const wanted = new URLSearchParams(location.search).get("backend");
  const hasGpu = wanted !== "wasm" && "Suspending" in WebAssembly && (await navigator.gpu?.requestAdapter());
  return hasGpu ? ["webgpu", "wasm"] : ["wasm"];
}

/** How many bytes a back end's files have. */
export function runtimeBytes(description, backEnd) {
  return Object.values(BUILDS[backEnd]).reduce((sum, file) => sum + description.bytes[file], 0);
}

/**
 * Load onnxruntime-web.
 *
 * @param {object} description `runtime` of game.json.
 * @param {"webgpu" | "wasm"} backEnd
 * @param {(bytes: number) => void} onProgress as of `readFile`.
 * @returns {Promise<object>} the module `ort`.
 * @throws {PageError} a file is missing or not the pinned one.
 */
export async function loadRuntime(description, backEnd, onProgress) {
  const load = async (file, type) => {
    const name = description.base + file;
    return verifiedAddress(name, await readFile(name, { type }, onProgress), description.files[file]);
  };
  const { module, wasm } = BUILDS[backEnd];
  const [moduleAddress, wasmAddress] = await Promise.all([
    load(module, "text/javascript"),
    load(wasm, "application/wasm"),
  ]);
  const ort = await import(moduleAddress);
  ort.env.wasm.wasmPaths = { wasm: wasmAddress };
  ort.env.wasm.numThreads = numThreads();
  ort.env.logLevel = "error";
  return ort;
}

/** What a back end is called in the page. */
export function backEndName(backEnd) {
  if (backEnd === "webgpu") return "WebGPU";
  const threads = numThreads();
  return `WebAssembly, ${threads} ${threads === 1 ? "thread" : "threads"}`;
}

/** As many threads as cores where the page is isolated from other origins, as browsers demand, else one. */
function numThreads() {
  return globalThis.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
}
