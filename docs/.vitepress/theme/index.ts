// The stock theme with the fonts of the reader's system: nothing is loaded from elsewhere.
import type { Theme } from 'vitepress';
import DefaultTheme from 'vitepress/theme-without-fonts';
import './style.css';

const theme: Theme = { extends: DefaultTheme };
export default theme;
