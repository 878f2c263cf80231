/** WGSL source text, resolved at build time by scripts/assets.mjs. */
declare module '*.wgsl' {
  const source: string;
  export default source;
}

/** A WebAssembly module as base64, resolved at build time by scripts/assets.mjs. */
declare module '*.wasm' {
  const base64: string;
  export default base64;
}
