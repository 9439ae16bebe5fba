"""The report's sections, one module each: StudyData → Section, or None where there is nothing to show."""
