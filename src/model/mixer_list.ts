/** Every mixer, by its name in `ssm_cfg.layer`: the one line that a new mixer adds. */
export { mamba1 as Mamba1 } from './mamba1.js';
export { mamba2 as Mamba2 } from './mamba2.js';
