export default {
  // Served as they are: here the models that come with the package; a project of yours has its model in `public`.
  publicDir: 'node_modules/aim-js/models',
  build: { target: 'es2022' },
};
