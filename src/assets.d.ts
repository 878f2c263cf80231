/** A WGSL file in parts, made at build time by scripts/assets.mjs. */
declare module '*.wgsl' {
  const shader: import('./ops/shader_file.js').ShaderFile;
  export default shader;
}

/** A WebAssembly module, deflated and in base64, resolved at build time by scripts/assets.mjs. */
declare module '*.wasm' {
  const deflated: string;
  export default deflated;
}

/** A WebAssembly module in base64 as it is, resolved at build time by scripts/assets.mjs. */
declare module '*.wasm?raw' {
  const base64: string;
  export default base64;
}

/** The text of a script, resolved at build time by scripts/assets.mjs. */
declare module '*?text' {
  const text: string;
  export default text;
}
