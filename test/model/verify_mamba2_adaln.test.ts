import { verifyGolden } from './verify_golden.js';

verifyGolden('mamba2-adaln');
