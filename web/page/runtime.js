// The runtime: onnxruntime-web on the GPU if the browser allows it, else as WebAssembly.

import { PageError, readFile, verifiedAddress } from "./files.js";

/** The files of onnxruntime-web that each back end needs. */
const BUILDS = {
  webgpu: { module: "ort.jspi.bundle.min.mjs", wasm: "ort-wasm-simd-threaded.jspi.wasm" },
  wasm: { module: "ort.wasm.bundle.min.mjs", wasm: "ort-wasm-simd-threaded.wasm" },
};

/**
 * Return the back ends that may work here, the best one first. `?backend=wasm` in the address excludes the GPU.
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

/** Return the size of a back end's files in bytes. */
export function runtimeBytes(description, backEnd) {
  return Object.values(BUILDS[backEnd]).reduce((sum, file) => sum + description.bytes[file], 0);
}

/**
 * Load onnxruntime-web.
 *
 * @param {object} description the entry `runtime` of game.json.
 * @param {"webgpu" | "wasm"} backEnd
 * @param {(bytes: number) => void} onProgress see `readFile`.
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

/** Return the name of a back end in the page. */
export function backEndName(backEnd) {
  if (backEnd === "webgpu") return "WebGPU";
  const threads = numThreads();
  return `WebAssembly, ${threads} ${threads === 1 ? "thread" : "threads"}`;
}

/** Return the number of cores if the page is cross-origin isolated, which browsers require for threads, else 1. */
function numThreads() {
  return globalThis.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
}
