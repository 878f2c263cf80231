/** A parsed WGSL file. The build (scripts/assets.mjs) makes it. */
declare module '*.wgsl' {
  const shader: import('./ops/shader_file.js').ShaderFile;
  export default shader;
}

/** A WebAssembly module, deflated and in base64. The build (scripts/assets.mjs) makes it. */
declare module '*.wasm' {
  const deflated: string;
  export default deflated;
}

/** A WebAssembly module in base64, not compressed. The build (scripts/assets.mjs) makes it. */
declare module '*.wasm?raw' {
  const base64: string;
  export default base64;
}

/** The text of a script. The build (scripts/assets.mjs) makes it. */
declare module '*?text' {
  const text: string;
  export default text;
}

/** What this bundle has, resolved at build time by scripts/assets.mjs. */
declare module 'aim:build' {
  /** False in the bundles that only draw: backward passes are left out of them. */
  export const TRAINING: boolean;
}
