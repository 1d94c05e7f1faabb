export { type ReportHtmlOptions, reportHtml } from './report-html.ts';
