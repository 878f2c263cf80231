/** The folder with Fashion-MNIST's IDX files: FASHION_MNIST of the environment, else where Debian's dataset-fashion-mnist puts them. */
export const FASHION_MNIST = process.env.FASHION_MNIST || '/usr/share/datasets/fashion-mnist';
