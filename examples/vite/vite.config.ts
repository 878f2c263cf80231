export default {
  // The folder of files that Vite serves unchanged: here the models of the package. Put your own model into `public` instead.
  publicDir: 'node_modules/aim-js/models',
  build: { target: 'es2022' },
};
