import type { AiM } from '../aim.js';
export type ModelHandle = AiM;
