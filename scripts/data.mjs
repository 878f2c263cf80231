/**
 * The folder with Fashion-MNIST's IDX files: the environment variable FASHION_MNIST, or the folder of Debian's
 * dataset-fashion-mnist.
 */
export const FASHION_MNIST = process.env.FASHION_MNIST || '/usr/share/datasets/fashion-mnist';
